//! Recurring work as a person sees it: when each schedule fires next; paused, resumed, run now.

use crate::app::App;
use crate::error::Error;
use crate::scheduled::{handler_of, recurring};
use crate::statements as sql;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;

/// A schedule of recurring work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// Its cron line.
    pub line: String,
    /// The time zone in which that is read.
    pub zone: String,
    /// Until when occurrences were considered.
    pub considered_until: Timestamp,
    /// The next occurrence; `None` while it is paused, and before it runs for the first time.
    pub next_due: Option<Timestamp>,
    /// Whether a person has stopped it.
    pub paused: bool,
}

/// The recurring work of a service: [`App::schedules`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use factstream::testing::TestApp;
/// # use factstream::{App, Failure, Occurrence, Recurring, Schedule, Tx};
/// # struct Nightly;
/// # impl Recurring for Nightly {
/// #     async fn run(&self, _: &Occurrence, _: &mut Tx) -> Result<(), Failure> { Ok(()) }
/// # }
/// # let app = TestApp::start(App::builder("").every(Schedule::cron("0 2 * * *")?, "nightly", Nightly)).await;
/// # app.settle().await;
/// let schedules = app.schedules();
/// assert!(schedules.list().await?[0].next_due.is_some());
/// assert!(schedules.pause("nightly").await?);
/// assert!(schedules.resume("nightly").await?); // from now on: what was due meanwhile is left out
/// assert!(schedules.run_now("nightly").await?);
/// assert!(!schedules.pause("yearly").await?); // there is none
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Schedules<'a> {
    app: &'a App,
}

impl App {
    /// The recurring work of this service.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules { app: self }
    }
}

impl Schedules<'_> {
    /// Each schedule, by name, as the build that runs it declares it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<ScheduleStatus>, Error> {
        let rows = self.app.store().query(sql::SELECT_SCHEDULES, params![self.handler()]).await?;
        rows.iter().map(ScheduleStatus::of_row).collect()
    }

    /// Stops a schedule until it is resumed, also over restarts; whether there is one of this name. An occurrence that waits for another
    /// attempt goes on.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn pause(&self, name: &str) -> Result<bool, Error> {
        self.set(name, true).await
    }

    /// Has a schedule go on from now on; whether there is one of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn resume(&self, name: &str) -> Result<bool, Error> {
        self.set(name, false).await
    }

    /// Has the work done now, beside its occurrences; whether there is a schedule of this name.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn run_now(&self, name: &str) -> Result<bool, Error> {
        let is_there = self.list().await?.iter().any(|schedule| schedule.name == name);
        if is_there {
            self.app.clock().fresh(self.app.store().as_ref()).await?;
            let mut tx = self.app.begin().await?;
            recurring::run_now(&self.handler(), name, &mut tx).await?;
            tx.commit().await?;
        }
        Ok(is_there)
    }

    async fn set(&self, name: &str, paused: bool) -> Result<bool, Error> {
        self.app.clock().fresh(self.app.store().as_ref()).await?;
        let mut tx = self.app.begin().await?;
        let is_there = recurring::pause(&self.handler(), name, paused, &mut tx).await?;
        tx.commit().await?;
        Ok(is_there)
    }

    fn handler(self) -> String {
        handler_of(&self.app.service())
    }
}

impl ScheduleStatus {
    fn of_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            name: row.get("name")?,
            line: row.get("line")?,
            zone: row.get("zone")?,
            considered_until: row.get("last_slot")?,
            next_due: row.get("next_due")?,
            paused: row.get("paused")?,
        })
    }
}
