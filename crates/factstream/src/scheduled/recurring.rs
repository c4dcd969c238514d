//! Recurring work: for each schedule a timer that waits for its next occurrence, and a timer for each occurrence that is to run.
//!
//! Invariants: the occurrence is named by its instant, and `fs_schedules` says up to which instant occurrences were considered, in the
//! transaction that sets their timers: neither a second process nor a change of the clocks makes two of one. The timer that waits has a key
//! of its own, so that an occurrence that fails holds up no more than the policy says.

use super::schedule::{Overlap, Schedule};
use crate::error::Error;
use crate::handler::Failure;
use crate::kernel::names::RESERVED;
use crate::kernel::origin::Origin;
use crate::statements as sql;
use crate::timer::{self, Due, DueTimer, NewTimer};
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::envelope::check_id;
use factstream_core::params;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

/// The name of the timer that waits for the next occurrence.
const NEXT: &str = "next";
/// What the timers of schedules are called.
const TICK: &str = "fs:tick";
const OCCURRENCE: &str = "fs:occurrence";

/// Work that is done again and again, by a [`Schedule`]: effects inside the store, exactly once for each occurrence (G16).
///
/// It is done in one transaction, as a [`Handler`](crate::Handler)'s is. For work on the outside, record an event here, and let an
/// [`ExternalHandler`](crate::ExternalHandler) do it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::testing::TestApp;
/// use factstream::{App, Failure, Occurrence, Recurring, Schedule, Tx, params};
/// use std::time::Duration;
///
/// struct Nightly;
///
/// impl Recurring for Nightly {
///     async fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> Result<(), Failure> {
///         tx.sql("INSERT INTO reports (day) VALUES ($1)", params![occurrence.slot.to_string()]).await?;
///         Ok(())
///     }
/// }
///
/// let builder = App::builder("").every(Schedule::cron("0 2 * * *")?.tz("Europe/Vienna")?, "nightly", Nightly);
/// let app = TestApp::start(builder).await;
/// # let mut tx = app.begin().await?;
/// # tx.sql("CREATE TABLE reports (day TEXT PRIMARY KEY)", params![]).await?;
/// # tx.commit().await?;
/// app.settle().await;
/// app.advance(Duration::from_secs(24 * 3_600)).await;
/// assert_eq!(app.rows("SELECT day FROM reports", params![]).await.len(), 1);
/// # Ok(())
/// # }
/// ```
pub trait Recurring: Send + Sync + 'static {
    /// Does the work of one occurrence.
    ///
    /// # Errors
    /// A [`Failure`] rolls back everything that this call did; the occurrence is tried again, and becomes a dead letter in the end. What
    /// becomes of the next ones, [`Overlap`] says.
    fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One occurrence of recurring work. The example is at [`Recurring`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Occurrence {
    /// The schedule's name.
    pub schedule: String,
    /// When it was to be, whenever it is done.
    pub slot: Timestamp,
}

impl Occurrence {
    /// What it is known by: the schedule's name and the instant.
    pub fn id(&self) -> String {
        format!("{}@{}", self.schedule, self.slot)
    }
}

#[async_trait]
trait AnyRecurring: Send + Sync {
    async fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> Result<(), Failure>;
}

struct Typed<R>(R);

#[async_trait]
impl<R: Recurring> AnyRecurring for Typed<R> {
    async fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> Result<(), Failure> {
        self.0.run(occurrence, tx).await
    }
}

/// The recurring work of a service, by name.
#[derive(Default)]
pub(crate) struct Recurrences(BTreeMap<String, Arc<Recurrence>>);

pub(super) struct Recurrence {
    name: String,
    schedule: Schedule,
    work: Box<dyn AnyRecurring>,
}

/// What a timer of a schedule is to do.
pub(super) enum Turn {
    /// Look which occurrences are to run, and wait for the next one.
    Tick(Arc<Recurrence>),
    Run(Arc<Recurrence>, Occurrence),
}

/// The key of the timer that waits for the next occurrence.
fn key_of_next(name: &str) -> String {
    format!("{RESERVED}next {name}")
}

/// The key of the occurrences.
pub(crate) fn key_of(name: &str) -> String {
    format!("{RESERVED}every {name}")
}

fn tick(name: &str, due: Due) -> NewTimer {
    let (key, payload_type) = (key_of_next(name), TICK.to_owned());
    NewTimer { key, name: NEXT.to_owned(), due, payload_type, payload: "{}".to_owned() }
}

/// The timer of an occurrence.
fn run(name: &str, slot: Timestamp) -> NewTimer {
    let (key, payload_type) = (key_of(name), OCCURRENCE.to_owned());
    NewTimer { key, name: slot.to_string(), due: Due::At(slot), payload_type, payload: "{}".to_owned() }
}

impl Recurrences {
    /// Takes a schedule in.
    ///
    /// # Errors
    /// [`Error::Wiring`] when its name cannot be used, or another schedule has it.
    pub(crate) fn add<R: Recurring>(&mut self, schedule: Schedule, name: &str, work: R) -> Result<(), Error> {
        check_id("name of a schedule", name)?;
        let recurrence = Recurrence { name: name.to_owned(), schedule, work: Box::new(Typed(work)) };
        if self.0.insert(name.to_owned(), Arc::new(recurrence)).is_some() {
            return Err(Error::Wiring(format!(
                "two schedules are called {name:?}; give each a name of its own"
            )));
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.0.keys().map(|name| format!("schedule {name}"))
    }

    /// What a timer is to do, where it is one of a schedule.
    pub(super) fn turn(&self, timer: &DueTimer) -> Option<Result<Turn, String>> {
        let prefix = match timer.payload_type.as_str() {
            TICK => key_of_next(""),
            OCCURRENCE => key_of(""),
            _ => return None,
        };
        let name = timer.key.strip_prefix(&prefix).unwrap_or_default();
        let Some(recurrence) = self.0.get(name).cloned() else {
            return Some(Err(format!(
                "no schedule is called {name:?} in this build; declare it with Builder::every, or discard it"
            )));
        };
        if timer.payload_type == TICK {
            return Some(Ok(Turn::Tick(recurrence)));
        }
        let slot = timer.name.parse().map_err(|error| format!("{:?} is no time: {error}", timer.name));
        Some(slot.map(|slot| Turn::Run(recurrence, Occurrence { schedule: name.to_owned(), slot })))
    }

    /// Makes what the store knows of schedules what this build declares: new ones begin now, ones that are gone wait no more.
    pub(super) async fn sync(&self, handler: &str, tx: &mut Tx) -> Result<(), Error> {
        let now = tx.kernel().clock.now();
        let known = tx.query(sql::SELECT_SCHEDULES, params![handler]).await?;
        let mut unchanged = Vec::new();
        for row in &known {
            let (name, line, zone): (String, String, String) =
                (row.get("name")?, row.get("line")?, row.get("zone")?);
            match self.0.get(&name) {
                Some(recurrence) if recurrence.schedule.spec() == (&line, &zone) => unchanged.push(name),
                Some(_) => {}
                None => forget(handler, &name, tx).await?,
            }
        }
        for (name, recurrence) in self.0.iter().filter(|(name, _)| !unchanged.contains(name)) {
            let (line, zone) = recurrence.schedule.spec();
            tx.sql(sql::UPSERT_SCHEDULE, params![handler, name, line, zone, now]).await?;
            timer::set(tx, handler, &tick(name, Due::At(now))).await?;
        }
        Ok(())
    }
}

async fn forget(handler: &str, name: &str, tx: &mut Tx) -> Result<(), Error> {
    tx.sql("DELETE FROM fs_schedules WHERE handler = $1 AND name = $2", params![handler, name]).await?;
    let keys = [key_of_next(name), key_of(name)];
    timer::cancel_all(tx, handler, keys.iter().map(String::as_str)).await
}

/// Has an occurrence run now, beside those of the schedule.
pub(crate) async fn run_now(handler: &str, name: &str, tx: &mut Tx) -> Result<(), Error> {
    let now = tx.kernel().clock.now();
    timer::set(tx, handler, &run(name, now)).await.map(drop)
}

/// Stops a schedule, or has it go on from now on; whether there is one.
pub(crate) async fn pause(handler: &str, name: &str, paused: bool, tx: &mut Tx) -> Result<bool, Error> {
    let now = tx.kernel().clock.now();
    if tx.sql(sql::PAUSE_SCHEDULE, params![handler, name, paused, now]).await? == 0 {
        return Ok(false);
    }
    match paused {
        true => drop(timer::cancel(tx, handler, &key_of_next(name), NEXT).await?),
        false => drop(timer::set(tx, handler, &tick(name, Due::At(now))).await?),
    }
    Ok(true)
}

impl Turn {
    pub(super) async fn take(&self, handler: &str, tx: &mut Tx) -> Result<(), Failure> {
        match self {
            Self::Tick(recurrence) => Ok(recurrence.tick(handler, tx).await?),
            Self::Run(recurrence, occurrence) => recurrence.work.run(occurrence, tx).await,
        }
    }
}

impl Recurrence {
    /// Sets the timers of the occurrences that are to run, and that of the next tick.
    async fn tick(&self, handler: &str, tx: &mut Tx) -> Result<(), Error> {
        let Self { name, schedule, .. } = self;
        let now = tx.kernel().clock.now();
        let sql = "SELECT last_slot FROM fs_schedules WHERE handler = $1 AND name = $2 AND NOT paused";
        let rows = tx.query(sql, params![handler, name]).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let mut slots = schedule.to_run(row.get("last_slot")?, now);
        let sql = "SELECT 1 FROM fs_timers WHERE handler = $1 AND timer_key = $2 LIMIT 1";
        if schedule.overlaps() == Overlap::Skip
            && !slots.is_empty()
            && !tx.query(sql, params![handler, key_of(name)]).await?.is_empty()
        {
            tracing::warn!(schedule = %name, left_out = slots.len(), "the occurrence before has not succeeded yet");
            slots.clear();
        }
        // Each occurrence is a conversation of its own.
        for slot in slots {
            tx.caused_by(Origin::command(Arc::clone(&tx.kernel().service)));
            timer::set(tx, handler, &run(name, slot)).await?;
        }
        let next = schedule.next_after(now);
        tx.sql(sql::MOVE_SCHEDULE, params![handler, name, now, next]).await?;
        if let Some(next) = next {
            timer::set(tx, handler, &tick(name, Due::At(next))).await?;
        }
        Ok(())
    }
}
