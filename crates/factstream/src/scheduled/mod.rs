//! What a service does when its time has come: commands that were scheduled, and recurring work (G16). One handler of each service, whose inputs are timers.
//!
//! Invariants: what a timer does is known by a name that the builder was given, never by the name of a Rust type, so that it is still
//! known to the next build. The handler's build is made of these names: a build that knows others takes over, or stands by, like that of
//! any other handler.

pub(crate) mod commands;
pub(crate) mod schedule;
pub(crate) mod recurring;
mod renamed;

use crate::handler::Failure;
use crate::handler::reaction::{BatchFailure, Begins, Decoded, Reaction, Ready};
use crate::kernel::inside::because_of;
use crate::kernel::names::RESERVED;
use crate::statements as sql;
use crate::timer::DueTimer;
use crate::tx::Tx;
use crate::{error::Error, handler::failure::caught};
use async_trait::async_trait;
use commands::{Commands, Planned};
use factstream_core::decode::DecodeError;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventType;
use factstream_core::params;
use factstream_core::store::Store;
use jiff::Timestamp;
use recurring::{Recurrences, Turn};

/// What the handler of a service's scheduled commands is called.
pub(crate) fn handler_of(service: &str) -> String {
    format!("{RESERVED}scheduled-{service}")
}

/// Says once what waits for a service of which this build declares nothing: no handler of it runs, so nobody would ever see it.
pub(crate) async fn warn_of_what_waits(store: &dyn Store, service: &str) -> Result<(), Error> {
    let rows = store.query(sql::COUNT_SCHEDULED, params![handler_of(service)]).await?;
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows {
        let (name, count, first): (String, u64, Timestamp) =
            (row.get("payload_type")?, row.get("waiting")?, row.get("first_due")?);
        waiting.push(format!("{name}: {count}, the first due at {first}"));
    }
    if !waiting.is_empty() {
        tracing::warn!(
            service,
            waiting = waiting.join("; "),
            "commands or schedules of an earlier build wait, and this build declares none, so they do not fire: declare them with \
             Builder::scheduled_command or Builder::every, or cancel them with App::timers"
        );
    }
    Ok(())
}

/// The handler of what a service has scheduled.
pub(crate) struct Scheduled {
    pub(crate) handler: String,
    /// What it was called under earlier names of the service: what waits there goes on here.
    pub(crate) formerly: Vec<String>,
    pub(crate) commands: Commands,
    pub(crate) recurrences: Recurrences,
}

/// What a timer is to do.
enum Input {
    Command(Planned),
    Recurring(Turn),
}

fn input(event: &Decoded) -> &Input {
    event.downcast_ref().expect("a timer is decoded by the handler that it is given to")
}

#[async_trait]
impl Reaction for Scheduled {
    fn event_types(&self) -> Vec<&'static EventType> {
        Vec::new()
    }

    fn handles(&self, _event_type: &str) -> bool {
        false
    }

    fn other_inputs(&self) -> Vec<String> {
        self.commands.names().map(str::to_owned).chain(self.recurrences.names()).collect()
    }

    fn decode(&self, envelope: Envelope<()>, _json: &str) -> Result<Decoded, DecodeError> {
        Err(DecodeError::UnknownType { event_type: envelope.event_type })
    }

    fn decode_timer(&self, timer: &DueTimer) -> Result<Decoded, String> {
        Ok(Box::new(match self.recurrences.turn(timer) {
            Some(turn) => Input::Recurring(turn?),
            None => Input::Command(self.commands.plan(timer)?),
        }))
    }

    fn begins(&self) -> bool {
        true
    }

    async fn begin(&self, begins: Begins, tx: &mut Tx) -> Result<(), Error> {
        match begins {
            Begins::ToRun => {
                for former in &self.formerly {
                    renamed::take_over(former, &self.handler, tx).await?;
                }
            }
            Begins::ToBeSeen if renamed::has_schedules(&self.formerly, tx).await? => return Ok(()),
            Begins::ToBeSeen => {}
        }
        self.recurrences.sync(&self.handler, tx).await
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure> {
        let streams = batch.iter().filter_map(|ready| match input(ready.event) {
            Input::Command(command) => command.stream(),
            Input::Recurring(_) => None,
        });
        let streams: Vec<_> = streams.collect();
        tx.read_ahead(streams).await.map_err(|error| BatchFailure::somewhere(Failure::transient(error)))?;
        for (at, ready) in batch.iter().enumerate() {
            tx.caused_by(ready.origin.clone());
            let work = async {
                match input(ready.event) {
                    Input::Command(command) => command.execute(tx).await,
                    Input::Recurring(turn) => turn.take(&self.handler, tx).await,
                }
            };
            let done = because_of(ready.origin.clone(), caught(work)).await;
            done.map_err(|failure: Failure| BatchFailure::at(at, failure))?;
        }
        Ok(())
    }
}
