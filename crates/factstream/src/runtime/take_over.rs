//! This build becomes the one that runs a handler: a new handler is entered, one of another build is taken over, with a rebuild where its
//! tables, events or logic have changed.

use crate::app::App;
use crate::error::Error;
use crate::handler::reaction::Begins;
use crate::leases::{self, Alone};
use crate::registry::{self, Build, Look, Step, find, register, step};
use crate::tx::Tx;

/// Whether a build that is not new may take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comeback {
    /// Only where nobody runs the registered build, as far as that can be known at once.
    IfNobodyRuns,
    /// Yes: it was watched for long enough that nobody does.
    Now,
}

/// Makes this build the one that runs the handler, with its tables, unless another one is to go on.
pub(crate) async fn bring_up(app: &App, build: &Build, comeback: Comeback) -> Result<(), Error> {
    let store = app.store().as_ref();
    let managed = app.managed().iter().find(|managed| managed.projection == build.handler);
    loop {
        let found = find(store, &build.handler).await?;
        match (step(found.as_ref(), build), found) {
            (Step::None, _) => return Ok(()),
            (Step::New, _) => register::register(app.kernel(), managed, build).await?,
            (Step::Rename, _) => register::rename(app.kernel(), build).await?,
            (Step::TakeOver { rebuild }, Some(found)) => {
                register::refuse_renamed(build, &found)?;
                if comeback == Comeback::IfNobodyRuns
                    && register::was_registered(store, build).await?
                    && leases::may_run(store, &found.runs()).await?
                {
                    tracing::warn!(
                        handler = %found.handler, generation = found.generation,
                        "another build runs this handler; this one stands by until no process of that build lives"
                    );
                    return Ok(());
                }
                match rebuild {
                    true => rebuild_alone(app, build).await?,
                    false => register::take_over(app.kernel(), managed, build, &found).await?,
                }
            }
            (Step::OtherService, Some(found)) => return Err(register::other_service(build, &found)),
            (Step::OtherKind, Some(found)) => return Err(register::other_kind(build, &found)),
            (_, None) => {}
        }
    }
}

/// Has the handlers that this build runs make ready what they need, before anything goes by that.
pub(crate) async fn begin_current(app: &App) -> Result<(), Error> {
    for spec in app.specs().iter().filter(|spec| spec.reaction.begins()) {
        let Some(build) = app.build_of(&spec.handler) else { continue };
        if let Look::Current(_) = registry::look(app.store().as_ref(), build).await? {
            let mut tx = Tx::begin(app.kernel()).await?;
            spec.reaction.begin(Begins::ToBeSeen, &mut tx).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Rebuilds while no other process rebuilds the same handler; whoever waited looks again.
async fn rebuild_alone(app: &App, build: &Build) -> Result<(), Error> {
    let alone = Alone::wait(app.store(), &app.service(), &format!("rebuild of {}", build.handler)).await?;
    let found = find(app.store().as_ref(), &build.handler).await?;
    let rebuilt = match step(found.as_ref(), build) {
        Step::TakeOver { rebuild: true } => {
            tracing::info!(handler = %build.handler, "its tables, events or logic have changed; rebuilding it");
            app.rebuild_now(&build.handler, |_| {}).await.map(drop)
        }
        _ => Ok(()),
    };
    alone.end().await;
    match rebuilt {
        Err(Error::Superseded { .. }) => Ok(()), // looked at again by whoever asked for it
        rebuilt => rebuilt,
    }
}
