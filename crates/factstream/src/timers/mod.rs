//! Timers as a user sees them: commands are scheduled, and what waits is listed, moved and cancelled.

mod schedule;
mod schedules;

pub use schedule::{ScheduleCommand, ScheduledCommand};
pub use schedules::{ScheduleStatus, Schedules};

use crate::app::App;
use crate::error::Error;
use crate::scheduled::handler_of;
use crate::timer::{self, Due};
use crate::tx::Tx;
use factstream_core::aggregate::Aggregate;
use factstream_core::envelope::StreamId;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;

/// Timers that one list has at most.
pub const LIST_MAX: usize = 1_000;

/// A timer that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timer {
    /// The handler that is given it.
    pub handler: String,
    /// In whose order it is handled: of a scheduled command the aggregate, as `type/id`.
    pub key: String,
    /// Its name: one of each name, by handler and key.
    pub name: String,
    /// When it is due, by the store's clock.
    pub due_at: Timestamp,
    /// Whether it was due and waits among the dead letters and retries, for another attempt or behind an event of its key.
    pub held: bool,
    /// What it does: of a scheduled command the name that it was declared under.
    pub what: String,
    /// When it was set, or moved.
    pub set_at: Timestamp,
}

/// The timers of an application's store: [`App::timers`].
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/scheduled.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
/// app.schedule::<Order, _>("o-1", Remind {}).after(days(3)).named("reminder").await?;
///
/// let reminders = app.timers().of_aggregate::<Order>("o-1")?;
/// assert_eq!(reminders.list().await?[0].what, "order-remind");
/// assert!(reminders.fire_now("reminder").await?);
/// app.settle().await;
/// assert!(!reminders.cancel("reminder").await?); // too late
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Timers<'a> {
    app: &'a App,
}

impl App {
    /// The timers that wait in the store: of this service and of others.
    pub fn timers(&self) -> Timers<'_> {
        Timers { app: self }
    }
}

impl<'a> Timers<'a> {
    /// Those of one key of a handler.
    pub fn of(self, handler: impl Into<String>, key: impl Into<String>) -> TimersOf<'a> {
        TimersOf { app: self.app, handler: handler.into(), key: key.into() }
    }

    /// The commands that are scheduled on an aggregate.
    ///
    /// # Errors
    /// [`Error::InvalidId`] when no aggregate can have this id.
    pub fn of_aggregate<A: Aggregate>(self, id: &str) -> Result<TimersOf<'a>, Error> {
        let key = StreamId::new(A::TYPE, id)?.to_string();
        Ok(self.of(handler_of(&self.app.service()), key))
    }

    /// All of them, by handler, key and name, at most [`LIST_MAX`], after the last one of the list before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, after: Option<&Timer>) -> Result<Vec<Timer>, Error> {
        let after = after.map_or(("", "", ""), |timer| (&timer.handler, &timer.key, &timer.name));
        timer::list(self.app.store().as_ref(), after, LIST_MAX).await?.iter().map(Timer::of_row).collect()
    }
}

/// The timers of one key of a handler: [`Timers::of`]. The example is at [`Timers`].
#[derive(Clone)]
pub struct TimersOf<'a> {
    app: &'a App,
    handler: String,
    key: String,
}

impl fmt::Debug for TimersOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimersOf")
            .field("handler", &self.handler)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl TimersOf<'_> {
    /// Those that wait, by name; at most [`LIST_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Timer>, Error> {
        let rows = timer::list_of(self.app.store().as_ref(), &self.handler, &self.key, LIST_MAX).await?;
        rows.iter().map(Timer::of_row).collect()
    }

    /// Cancels one; whether it still waited. One that waits among the dead letters does nothing when it is redriven.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn cancel(&self, name: &str) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let was_there = timer::cancel(&mut tx, &self.handler, &self.key, name).await?;
        tx.commit().await?;
        Ok(was_there)
    }

    /// Has one fire at another time, at once where that has passed; whether it still waited.
    ///
    /// # Errors
    /// [`Error::Timer`] when the time is too far away, and when the store cannot be written.
    pub async fn reschedule(&self, name: &str, time: Timestamp) -> Result<bool, Error> {
        self.app.clock().fresh(self.app.store().as_ref()).await?;
        let mut tx = self.begin().await?;
        let moved = timer::move_to(&mut tx, &self.handler, &self.key, name, Due::At(time)).await?;
        tx.commit().await?;
        Ok(moved.is_some())
    }

    /// Has one fire at once; whether it still waited.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn fire_now(&self, name: &str) -> Result<bool, Error> {
        self.reschedule(name, Timestamp::UNIX_EPOCH).await
    }

    async fn begin(&self) -> Result<Tx, Error> {
        self.app.begin().await
    }
}

impl Timer {
    fn of_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            handler: row.get("handler")?,
            key: row.get("timer_key")?,
            name: row.get("name")?,
            due_at: row.get("due_at")?,
            held: row.get("held")?,
            what: row.get("payload_type")?,
            set_at: row.get("set_at")?,
        })
    }
}
