//! Recurring work: each occurrence once, by whichever process; what was missed and what overlaps, by policy (G16).

use crate::common::{Shop, eventually, stop};
use factstream::testing::TestApp;
use factstream::{App, Builder, Failure, Missed, Occurrence, Overlap, Recurring, Schedule, Tx, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Writes a row for each occurrence; fails while it is told to.
#[derive(Clone, Default)]
struct Report {
    fails: Arc<AtomicBool>,
}

impl Recurring for Report {
    async fn run(&self, occurrence: &Occurrence, tx: &mut Tx) -> Result<(), Failure> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Failure::permanent("told to"));
        }
        tx.sql("INSERT INTO reports (id) VALUES ($1)", params![occurrence.id()]).await?;
        Ok(())
    }
}

async fn with_table(app: &App) {
    let mut tx = app.begin().await.unwrap();
    tx.sql("CREATE TABLE IF NOT EXISTS reports (id TEXT NOT NULL)", params![]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn reports(app: &App) -> Vec<String> {
    let rows = app.store().query("SELECT id FROM reports ORDER BY id", params![]).await.unwrap();
    rows.iter().map(|row| row.get("id").unwrap()).collect()
}

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *").unwrap()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_occurrence_runs_once_although_two_processes_run_and_one_leaves() {
    let shop = Shop::new();
    let builder = || shop.builder().every(Schedule::cron("* * * * * *").unwrap(), "often", Report::default());
    let (one, two) = (builder().open().await.unwrap(), builder().open().await.unwrap());
    with_table(&one).await;
    let running = [one.start().await.unwrap(), two.start().await.unwrap()];
    eventually("it runs", || async { reports(&one).await.len() >= 2 }).await;
    let [first, second] = running;
    stop(first).await;
    let so_far = reports(&one).await.len();
    eventually("it goes on in the other process", || async { reports(&two).await.len() >= so_far + 2 }).await;
    assert!(two.schedules().pause("often").await.unwrap());
    stop(second).await;
    let found = reports(&one).await;
    let mut distinct = found.clone();
    distinct.dedup();
    assert_eq!(found, distinct);
    assert!(found[0].starts_with("often@20"), "{found:?}");
    // Paused over a restart, and resumed.
    let running = builder().open().await.unwrap().start().await.unwrap();
    let schedule = two.schedules().list().await.unwrap().remove(0);
    assert!(schedule.paused && schedule.next_due.is_none());
    assert_eq!(reports(&one).await, found);
    assert!(two.schedules().resume("often").await.unwrap());
    eventually("it goes on", || async { reports(&two).await.len() > found.len() }).await;
    stop(running).await;
}

/// What ran after the application was away for five hours.
async fn after_five_hours(schedule: Schedule) -> usize {
    let report = Report::default();
    let app = TestApp::start(App::builder("").every(schedule.clone(), "hourly", report.clone())).await;
    with_table(&app).await;
    app.settle().await;
    assert!(reports(&app).await.is_empty(), "it begins with its next occurrence");
    let app = app.restart(App::builder("")).await; // without it: nothing looks at the schedule
    app.test_clock().advance(HOUR * 5);
    let app = app.restart(App::builder("").every(schedule, "hourly", report)).await;
    app.settle().await;
    let ran = reports(&app).await.len();
    app.advance(HOUR).await;
    assert_eq!(reports(&app).await.len(), ran + 1, "and goes on");
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_while_nothing_ran_runs_as_the_policy_says() {
    assert_eq!(after_five_hours(hourly()).await, 1);
    assert_eq!(after_five_hours(hourly().missed(Missed::All(3))).await, 3);
    assert_eq!(after_five_hours(hourly().missed(Missed::All(100))).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occurrence_that_fails_holds_up_the_next_ones_as_the_policy_says_and_never_the_schedule() {
    for (overlap, afterwards) in [(Overlap::Skip, 2), (Overlap::Wait, 4)] {
        let report = Report::default();
        report.fails.store(true, Ordering::Relaxed);
        let app =
            TestApp::start(App::builder("").every(hourly().overlap(overlap), "hourly", report.clone())).await;
        with_table(&app).await;
        app.settle().await;
        for _ in 0..3 {
            app.advance(HOUR).await;
        }
        let dead = app.dead_letters().list(None, false, 0).await.unwrap();
        assert_eq!((dead.len(), dead[0].reason.as_deref()), (1, Some("told to")), "{overlap:?}");
        assert!(reports(&app).await.is_empty());
        report.fails.store(false, Ordering::Relaxed);
        app.dead_letters().redrive(dead[0].id).await.unwrap();
        eventually("it ran at last", || async { !reports(&app).await.is_empty() }).await;
        app.settle().await;
        app.advance(HOUR).await;
        assert_eq!(reports(&app).await.len(), afterwards, "{overlap:?}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_not_declared_any_more_is_forgotten_and_one_of_another_line_begins_anew() {
    let shop = Shop::new();
    let yearly = || Schedule::cron("0 0 1 1 *").unwrap();
    let both = shop.builder().every(yearly(), "a", Report::default()).every(yearly(), "b", Report::default());
    let app = both.open().await.unwrap();
    with_table(&app).await;
    let running = app.start().await.unwrap();
    let planned = async |app: &App| {
        let schedules = app.schedules().list().await.unwrap();
        schedules
            .into_iter()
            .filter(|of| of.next_due.is_some())
            .map(|of| (of.name, of.line))
            .collect::<Vec<_>>()
    };
    let line = |name: &str, line: &str| (name.to_owned(), line.to_owned());
    eventually("both wait", || async { planned(&app).await.len() == 2 }).await;
    stop(running).await;
    let other = Schedule::cron("0 0 2 1 *").unwrap().tz("Europe/Vienna").unwrap();
    let app = shop.builder().every(other, "a", Report::default()).open().await.unwrap();
    let running = app.start().await.unwrap();
    eventually("the new one waits alone", || async { planned(&app).await == [line("a", "0 0 2 1 *")] }).await;
    assert_eq!(app.timers().list(None).await.unwrap().len(), 1);
    assert!(reports(&app).await.is_empty());
    assert!(app.schedules().run_now("a").await.unwrap());
    eventually("it runs by hand", || async { reports(&app).await.len() == 1 }).await;
    assert!(!app.schedules().run_now("b").await.unwrap());
    stop(running).await;
}

#[tokio::test]
async fn two_schedules_of_one_name_are_refused() {
    let twice = |builder: Builder| builder.every(hourly(), "hourly", Report::default());
    let refused = twice(twice(Shop::new().builder())).open().await.unwrap_err();
    assert!(refused.to_string().contains("two schedules are called \"hourly\""), "{refused}");
    let refused = Shop::new().builder().every(hourly(), "", Report::default()).open().await.unwrap_err();
    assert!(refused.to_string().contains("name of a schedule"), "{refused}");
}
