//! W1 to W4: reminders that are scheduled, and fire.

use super::store::{Own, count, wait_until};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::postgres::{connect, settle};
use crate::sqlite::open;
use factstream::sql::{format_timestamp, now};
use factstream::{Aggregate, App, Command, Error, Event, LentTx, params};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Timers that one transaction sets.
pub(super) const SET_TOGETHER: u64 = 500;
/// W2: what is few, beside the contest's size.
const FEW_PENDING: u64 = 1_000;
/// W2: of so many pending timers one more is due; they are what fires.
const PENDING_FOR_ONE_DUE: u64 = 50;
const FAR: Duration = Duration::from_secs(24 * 3_600);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Private: nothing goes to a topic.
#[derive(Event, Serialize, Deserialize)]
pub(super) enum ReminderEvent {
    #[event(name = "Reminded", version = 1, private)]
    Reminded {},
}

#[derive(Default, Clone)]
pub(super) struct Reminder;

impl Aggregate for Reminder {
    const TYPE: &'static str = "reminder";
    type Event = ReminderEvent;

    fn apply(&mut self, _: &ReminderEvent) {}
}

#[derive(Serialize, Deserialize)]
pub(super) struct Remind {}

/// What the benchmark has to know of the command, which is pure: each run is a process of its own.
static BEGAN: OnceLock<Instant> = OnceLock::new();
static FIRED: AtomicU64 = AtomicU64::new(0);

impl Command<Reminder> for Remind {
    type Error = Infallible;

    fn decide(&self, _: &Reminder) -> Result<Vec<ReminderEvent>, Infallible> {
        BEGAN.get_or_init(Instant::now);
        FIRED.fetch_add(1, Ordering::Relaxed);
        Ok(vec![ReminderEvent::Reminded {}])
    }
}

pub(super) async fn app(url: &str) -> Result<App, Failed> {
    Ok(App::builder(url).scheduled_command::<Reminder, Remind>("remind").open().await?)
}

/// W1: one timer after the other, between which nothing happens: from when it was due until its event was committed. `elsewhere`:
/// another process sets it, of which the one that fires it hears nothing.
pub(super) async fn lateness(place: Place, elsewhere: bool) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let (fires, sets) = (app(&own.url).await?, app(&own.url).await?);
    let sets = if elsewhere { sets } else { fires.clone() };
    let running = fires.start().await?;
    let mut times = Times::new();
    for number in 0..place.size {
        let wait = Duration::from_millis(50 + number * 137 % 600);
        let head = fires.head().await?;
        let scheduled = sets.schedule::<Reminder, _>(format!("r-{number}"), Remind {}).after(wait).await?;
        if fires.store().wait_beyond(head, PATIENCE).await? == head {
            return Err("a timer does not fire".into());
        }
        let late = Duration::try_from(now().duration_since(scheduled.due_at));
        times.record(late.map_err(|_| "a timer has fired before its time")?);
    }
    running.stop(STOP_WITHIN).await;
    Ok(Figures::times(&times))
}

/// Timers like one that is scheduled for this, each with a key of its own, set in one statement.
async fn multiply(app: &App, name: &str, due_at: &str, timers: u64) -> Result<(), Failed> {
    const SQL: &str = "WITH RECURSIVE numbers (number) AS (
            SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < CAST($3 AS BIGINT))
        INSERT INTO fs_timers (handler, timer_key, name, token, due_at, wakes_at, payload_type, payload, origin, set_at)
        SELECT handler, timer_key || '-' || number, name, token || '-' || number, $2, $2, payload_type, payload, origin, set_at
        FROM fs_timers, numbers WHERE name = $1";
    const PART: u64 = 50_000;
    for first in (0..timers).step_by(usize::try_from(PART)?) {
        let (seed, part) = (format!("{name}-{first}"), PART.min(timers - first));
        app.schedule::<Reminder, _>(&seed, Remind {}).after(FAR).named(&seed).await?;
        app.transaction(async |mut tx: LentTx| {
            tx.sql(SQL, params![&seed, due_at, part]).await.map_err(Error::from)?;
            tx.sql(
                "DELETE FROM fs_timers WHERE name = $1 AND timer_key = $2",
                params![&seed, format!("reminder/{seed}")],
            )
            .await
            .map_err(Error::from)
        })
        .await?;
    }
    Ok(())
}

/// Timers that are due in a day.
pub(super) async fn set_pending(app: &App, timers: u64) -> Result<(), Failed> {
    multiply(app, "pending", &format_timestamp(now() + FAR), timers).await
}

/// Timers that are due.
pub(super) async fn set_due(app: &App, timers: u64) -> Result<(), Failed> {
    multiply(app, &format!("due-{}", app.head().await?), &format_timestamp(now()), timers).await
}

/// Does now what the engine would do for rows that are new.
pub(super) async fn settle_timers(own: &Own) -> Result<(), Failed> {
    if let Ok(file) = own.file() {
        return Ok(open(file)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?);
    }
    let client = connect(&own.url).await?;
    client.batch_execute("VACUUM (ANALYZE) fs_timers").await?;
    settle(&client).await
}

/// W2: a store with as many pending timers as the contest's size, for all rounds.
pub(super) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let (shared, began) = (Own::shared(&place), Instant::now());
    set_pending(&app(&shared.url).await?, place.size).await?;
    settle_timers(&shared).await?;
    Ok(Figures::rate(place.size, began))
}

/// W2: on that store.
pub(super) async fn fire_beside_many(place: Place) -> Result<Figures, Failed> {
    fire(&Own::shared(&place), place.size, place.size / PENDING_FOR_ONE_DUE).await
}

/// W2: as many that are due, on a store with few others.
pub(super) async fn fire_beside_few(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    set_pending(&app(&own.url).await?, FEW_PENDING).await?;
    fire(&own, FEW_PENDING, place.size / PENDING_FOR_ONE_DUE).await
}

/// W3.
pub(super) async fn fire_all(place: Place) -> Result<Figures, Failed> {
    fire(&Own::new(&place)?, 0, place.size).await
}

/// From the first that fires to the last commit.
async fn fire(own: &Own, pending: u64, due: u64) -> Result<Figures, Failed> {
    let app = app(&own.url).await?;
    set_due(&app, due).await?;
    settle_timers(own).await?;
    let head = app.head().await?;
    let running = app.start().await?;
    let is_near = || FIRED.load(Ordering::Relaxed) >= due;
    wait_until(&app, is_near, "SELECT coalesce(max(position), 0) FROM events", head + due).await?;
    let figures = Figures::rate(due, *BEGAN.get().ok_or("nothing has fired")?);
    running.stop(STOP_WITHIN).await;
    check_fired(&app, pending).await?;
    Ok(figures)
}

/// What has fired is gone, and nothing else.
pub(super) async fn check_fired(app: &App, pending: u64) -> Result<(), Failed> {
    let left = count(app.store().as_ref(), "SELECT count(*) FROM fs_timers").await?;
    match left == pending {
        true => Ok(()),
        false => Err(format!("{left} timers are left; {pending} were to be").into()),
    }
}

/// W4: many timers in each transaction.
pub(super) async fn schedule(place: Place) -> Result<Figures, Failed> {
    let own = Own::new(&place)?;
    let app = app(&own.url).await?;
    let (began, mut times) = (Instant::now(), Times::new());
    for first in (0..place.size).step_by(usize::try_from(SET_TOGETHER)?) {
        let began = Instant::now();
        app.transaction(async |mut tx: LentTx| {
            for number in first..place.size.min(first + SET_TOGETHER) {
                let id = format!("r-{number}");
                tx.schedule::<Reminder, _>(id, Remind {}).after(FAR).named("reminder").await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
        times.record(began.elapsed());
    }
    let figures = Figures::rate(place.size, began).with_latency(&times);
    check_fired(&app, place.size).await?;
    Ok(figures)
}
