//! A command that is to be executed at a time: scheduled on its own, or together with what else a transaction does.

use crate::app::App;
use crate::error::Error;
use crate::kernel::{Kernel, inside};
use crate::scheduled::handler_of;
use crate::timer::{self, Due, NewTimer};
use crate::tx::Tx;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::context::Context;
use factstream_core::envelope::StreamId;
use jiff::Timestamp;
use serde::Serialize;
use std::any::type_name;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;
use uuid::Uuid;

/// A command that was scheduled: what to know to cancel it.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/scheduled.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
/// let scheduled = app.schedule::<Order, _>("o-1", Remind {}).after(days(3)).named("reminder").await?;
/// assert_eq!((scheduled.key.as_str(), scheduled.name.as_str()), ("order/o-1", "reminder"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduledCommand {
    /// In whose order it is executed: the aggregate, as `type/id`.
    pub key: String,
    /// Its name: one of each name, by aggregate.
    pub name: String,
    /// When it is due, by the store's clock.
    pub due_at: Timestamp,
}

/// Where a command is scheduled: in a transaction of its own, or in one that does other things, too.
enum Place<'a> {
    App(&'a App),
    Tx(&'a mut Tx),
}

/// A command that is about to be scheduled; `.await` it. Without a time it is due at once, and executed in the background.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/scheduled.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
/// app.schedule::<Order, _>("o-1", Remind {}).after(days(3)).named("reminder").await?;
/// app.schedule::<Order, _>("o-1", Remind {}).after(days(7)).named("reminder").await?; // the same name: it replaces the first
///
/// app.advance(days(6)).await;
/// assert_eq!(app.events::<Order>("o-1").await.len(), 1);
/// app.advance(days(1)).await;
/// assert_eq!(app.events::<Order>("o-1").await.len(), 2);
/// # Ok(())
/// # }
/// ```
#[must_use = "a command is not scheduled until it is awaited"]
pub struct ScheduleCommand<'a> {
    place: Place<'a>,
    planned: Result<Plan, Error>,
    due: Due,
    name: Option<String>,
    context: Option<Context>,
}

/// What is kept of a command.
struct Plan {
    key: String,
    payload_type: String,
    payload: String,
}

impl fmt::Debug for ScheduleCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScheduleCommand")
            .field("due", &self.due)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn plan<A: Aggregate, C: Command<A> + Serialize + 'static>(
    kernel: &Kernel,
    id: String,
    command: &C,
) -> Result<Plan, Error> {
    let Some(name) = kernel.scheduled.of::<A, C>() else {
        return Err(Error::Wiring(format!(
            "the command {} is not declared to be scheduled: it is kept as JSON, under a name that later builds know, too. Write \
             .scheduled_command::<{}, {}>(\"a-name\") at the builder",
            type_name::<C>(),
            type_name::<A>().rsplit("::").next().unwrap_or_default(),
            type_name::<C>().rsplit("::").next().unwrap_or_default(),
        )));
    };
    let encode = |source| Error::Encode { what: format!("the scheduled command {name}"), source };
    let payload = serde_json::to_string(command).map_err(encode)?;
    let key = StreamId::new(A::TYPE, id)?.to_string();
    Ok(Plan { key, payload_type: name.to_string(), payload })
}

impl<'a> ScheduleCommand<'a> {
    fn new(place: Place<'a>, planned: Result<Plan, Error>) -> Self {
        Self { place, planned, due: Due::After(Duration::ZERO), name: None, context: None }
    }

    /// At this time, by the store's clock; at once, where it has passed.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.due = Due::At(time);
        self
    }

    /// So long from now, by the store's clock.
    pub fn after(mut self, wait: Duration) -> Self {
        self.due = Due::After(wait);
        self
    }

    /// Its name among those of the aggregate: the one of that name that waits already is replaced, and it can be cancelled by it. Without a
    /// name it gets one that is unique.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Who asks, in which conversation: recorded with the events when it is executed. In a handler's transaction that of its event is the
    /// default.
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    async fn run(self) -> Result<ScheduledCommand, Error> {
        let Plan { key, payload_type, payload } = self.planned?;
        let name = self.name.unwrap_or_else(|| Uuid::now_v7().to_string());
        let timer = NewTimer { key, name, due: self.due, payload_type, payload };
        match self.place {
            Place::Tx(tx) => {
                let before = self.context.map(|context| tx.replace_context(&context)).transpose()?;
                let scheduled = set(tx, timer).await;
                if let Some(before) = before {
                    tx.restore_context(before);
                }
                scheduled
            }
            Place::App(app) => {
                inside::refuse(app.store_id(), "App::schedule")?;
                app.clock().fresh(app.store().as_ref()).await?;
                let origin = app.kernel().origin_of(self.context.as_ref())?;
                let mut tx = Tx::begin_as(app.kernel(), origin).await?;
                let scheduled = set(&mut tx, timer).await?;
                tx.commit().await?;
                Ok(scheduled)
            }
        }
    }
}

async fn set(tx: &mut Tx, timer: NewTimer) -> Result<ScheduledCommand, Error> {
    let handler = handler_of(&tx.kernel().service);
    let due_at = timer::set(tx, &handler, &timer).await?;
    Ok(ScheduledCommand { key: timer.key, name: timer.name, due_at })
}

impl<'a> IntoFuture for ScheduleCommand<'a> {
    type Output = Result<ScheduledCommand, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl App {
    /// Schedules a command on the aggregate `id`: it is executed once, at its time, by whichever process runs the service's handlers, also
    /// after a restart (G16). It is declared with [`Builder::scheduled_command`](crate::Builder::scheduled_command).
    ///
    /// A refusal of the aggregate is a permanent failure: the command becomes a dead letter, and others of the aggregate that were scheduled wait behind it. A
    /// command that may come when it is not wanted any more decides on no events.
    ///
    /// # Errors
    /// [`Error::Wiring`] when it is not declared, [`Error::Timer`] when it cannot be kept until then, and what the store reports.
    pub fn schedule<A: Aggregate, C: Command<A> + Serialize + 'static>(
        &self,
        id: impl Into<String>,
        command: C,
    ) -> ScheduleCommand<'_> {
        ScheduleCommand::new(Place::App(self), plan::<A, C>(self.kernel(), id.into(), &command))
    }
}

impl Tx {
    /// Schedules a command with everything else that this transaction does: as [`App::schedule`].
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/scheduled.rs"));
    /// /// Reminds of every order after three days.
    /// struct Reminding;
    ///
    /// impl Handler for Reminding {
    ///     type Events = OrderEvent;
    ///
    ///     async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
    ///         tx.schedule::<Order, _>(&event.aggregate_id, Remind {}).after(days(3)).named("reminder").await?;
    ///         Ok(())
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`App::schedule`].
    pub fn schedule<A: Aggregate, C: Command<A> + Serialize + 'static>(
        &mut self,
        id: impl Into<String>,
        command: C,
    ) -> ScheduleCommand<'_> {
        let planned = plan::<A, C>(self.kernel(), id.into(), &command);
        ScheduleCommand::new(Place::Tx(self), planned)
    }

    /// Cancels a command that was scheduled on the aggregate `id` under this name; whether it still waited.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn unschedule<A: Aggregate>(&mut self, id: &str, name: &str) -> Result<bool, Error> {
        let (handler, stream) = (handler_of(&self.kernel().service), StreamId::new(A::TYPE, id)?);
        timer::cancel(self, &handler, &stream.to_string(), name).await
    }
}
