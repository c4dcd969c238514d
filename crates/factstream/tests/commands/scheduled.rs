//! Scheduled commands: once, at their time by the store's clock, in the order of their aggregate; who cancels first wins (G16).

use crate::common::{Do, Order, OrderEvent, Refused, Shop, eventually, settled, stop};
use crate::shifted::Shifted;
use factstream::{App, Builder, Command, Context, Error, EventSet, params};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

fn builder(shop: &Shop) -> Builder {
    shop.builder().scheduled_command::<Order, Do>("order-do")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const HOUR: Duration = Duration::from_secs(3_600);

fn note(text: &str) -> Do {
    Do::Note(text.to_owned())
}

async fn notes(app: &App, id: &str) -> Vec<String> {
    app.load::<Order>(id).await.unwrap().0.notes
}

async fn waiting(app: &App, id: &str) -> usize {
    app.timers().of_aggregate::<Order>(id).unwrap().list().await.unwrap().len()
}

/// Until none of the orders has a command that waits.
async fn fired(app: &App) {
    eventually("all that was scheduled has fired", || async {
        let timers = app.timers().list(None).await.unwrap();
        timers.iter().all(|timer| timer.held)
    })
    .await;
}

#[tokio::test]
async fn of_many_that_fire_together_each_is_decided_on_its_own_stream() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    let open: Vec<String> = (0..150).map(|n| format!("open-{n}")).collect();
    let created = open.iter().map(String::as_str).chain(["closed", "lost", "long"]);
    let commands =
        created.map(|id| (id, Do::Create(1))).chain(open.iter().map(|id| (id.as_str(), note("a"))));
    app.execute_all::<Order, _>(commands.chain([("closed", Do::Close)])).await.unwrap();
    app.execute_all::<Order, _>((0..300).map(|_| ("long", note("a")))).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    tx.sql("DELETE FROM events WHERE aggregate_id = $1", params!["lost"]).await.unwrap();
    tx.commit().await.unwrap();
    let all = open.iter().map(String::as_str).chain(["closed", "long", "lost", "new"]);
    for id in all {
        app.schedule::<Order, _>(id, note("fired")).await.unwrap();
    }
    drop(app);
    let app = builder(&shop).open().await.unwrap(); // with no state in memory
    let running = app.start().await.unwrap();
    fired(&app).await;
    for id in &open {
        assert_eq!(notes(&app, id).await, ["a", "fired"], "{id}");
    }
    assert_eq!(notes(&app, "new").await, ["fired"]);
    let long = notes(&app, "long").await;
    assert_eq!((long.len(), long.last().map(String::as_str)), (301, Some("fired")));
    for id in ["closed", "lost"] {
        assert_eq!(waiting(&app, id).await, 1, "{id}: it is among the letters");
    }
    let appended = app.read_log(0, 10_000).await.unwrap();
    let fired = appended.iter().filter(|event| event.data.contains("fired")).count();
    assert_eq!(fired, open.len() + 2, "nothing on what was refused, nothing twice");
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_is_executed_once_and_not_before_its_time_although_two_processes_run() {
    let shop = Shop::new();
    let (one, two) = (builder(&shop).open().await.unwrap(), builder(&shop).open().await.unwrap());
    let running = [one.start().await.unwrap(), two.start().await.unwrap()];
    let mut due = Vec::new();
    for n in 0..60 {
        let app = if n % 2 == 0 { &one } else { &two };
        let scheduled = app
            .schedule::<Order, _>(format!("o-{}", n % 7), note(&n.to_string()))
            .after(millis(200 + n))
            .await;
        due.push(scheduled.unwrap().due_at);
    }
    fired(&one).await;
    let log = one.read_log(0, 1_000).await.unwrap();
    let mut seen: Vec<usize> = Vec::new();
    for event in &log {
        let decoded = OrderEvent::decode(&event.event_type, &event.data).unwrap().unwrap();
        let OrderEvent::Noted { text } = decoded else { continue };
        let n: usize = text.parse().unwrap();
        seen.push(n);
        assert!(event.timestamp >= due[n], "{n} at {} before {}", event.timestamp, due[n]);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<_>>());
    for app in running {
        stop(app).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_or_a_new_time_that_committed_first_wins() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    let of = |id: &str| app.timers().of_aggregate::<Order>(id).unwrap();
    app.schedule::<Order, _>("o-1", note("no")).after(HOUR).named("n").await.unwrap();
    assert!(of("o-1").cancel("n").await.unwrap());
    assert!(!of("o-1").cancel("n").await.unwrap(), "there is none any more, which is no error");
    app.schedule::<Order, _>("o-2", note("first")).after(HOUR).named("n").await.unwrap();
    app.schedule::<Order, _>("o-2", note("second")).after(HOUR).named("n").await.unwrap();
    app.schedule::<Order, _>("o-2", note("other")).after(HOUR).named("other").await.unwrap();
    assert_eq!(waiting(&app, "o-2").await, 2);
    assert!(of("o-2").fire_now("n").await.unwrap());
    eventually("the one that replaced the other fires", || async { notes(&app, "o-2").await == ["second"] })
        .await;
    // Cancels and new times race with the time itself: whoever wins, the answer says so.
    let race = (0..40).map(|n| {
        let (app, id) = (app.clone(), format!("r-{n}"));
        tokio::spawn(async move {
            app.schedule::<Order, _>(&id, note("fired")).after(millis(20 + n % 10)).named("n").await.unwrap();
            tokio::time::sleep(millis(20 + n % 7)).await;
            let timers = app.timers().of_aggregate::<Order>(&id).unwrap();
            let late = app.store().clock().await.unwrap() + HOUR;
            let won = match n % 2 {
                0 => timers.cancel("n").await.unwrap(),
                _ => timers.reschedule("n", late).await.unwrap(),
            };
            (id, won)
        })
    });
    let raced: Vec<_> = race.collect();
    for raced in raced {
        let (id, won) = raced.await.unwrap();
        match won {
            true => {
                assert!(notes(&app, &id).await.is_empty(), "{id} fired although it was cancelled or moved")
            }
            false => eventually("it fired", || async { notes(&app, &id).await == ["fired"] }).await,
        }
    }
    stop(running).await;
}

/// The handler has read them as due, and waits for the lock of whoever is about to commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_timer_that_was_read_when_it_is_cancelled_or_moved_does_nothing() {
    let shop = Shop::new();
    let (runs, app) = (builder(&shop).open().await.unwrap(), builder(&shop).open().await.unwrap());
    let running = runs.start().await.unwrap();
    app.schedule::<Order, _>("o-0", note("runs")).await.unwrap();
    eventually("the handler runs", || async { notes(&app, "o-0").await == ["runs"] }).await;
    let mut due = jiff::Timestamp::UNIX_EPOCH;
    for id in ["o-1", "o-2"] {
        let scheduled = app.schedule::<Order, _>(id, note("fired")).after(2 * millis(1_000)).named("n").await;
        due = scheduled.unwrap().due_at;
    }
    let mut tx = app.begin().await.unwrap();
    assert!(tx.unschedule::<Order>("o-1", "n").await.unwrap());
    tx.schedule::<Order, _>("o-2", note("moved")).after(HOUR).named("n").await.unwrap();
    let read_by = due + Duration::from_secs(1);
    eventually("it was read as due", || async { app.store().clock().await.unwrap() > read_by }).await;
    tx.commit().await.unwrap();
    settled(&runs).await;
    app.schedule::<Order, _>("o-3", note("after")).await.unwrap();
    eventually("what is due now fires", || async { notes(&app, "o-3").await == ["after"] }).await;
    assert!(notes(&app, "o-1").await.is_empty(), "it fired although it was cancelled");
    assert!(notes(&app, "o-2").await.is_empty(), "it fired although it was moved");
    assert_eq!(waiting(&app, "o-2").await, 1);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_due_while_nothing_runs_fires_at_the_next_start_in_its_order() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    let past: jiff::Timestamp = "1999-01-01T00:00:00Z".parse().unwrap();
    for text in ["a", "b", "c"] {
        app.schedule::<Order, _>("o-1", note(text)).at(past).await.unwrap();
    }
    let context = Context::new().actor("user-7").correlation_id("request-1");
    app.schedule::<Order, _>("o-2", note("x")).context(&context).await.unwrap();
    drop(app);
    let app = builder(&shop).open().await.unwrap();
    let running = app.start().await.unwrap();
    fired(&app).await;
    assert_eq!(notes(&app, "o-1").await, ["a", "b", "c"]);
    let event = app.events::<Order>("o-2", 0, 1).await.unwrap().remove(0).envelope().unwrap();
    assert_eq!(
        (event.actor.as_deref(), event.correlation_id.as_deref()),
        (Some("user-7"), Some("request-1"))
    );
    settled(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_is_a_letter_and_its_aggregates_others_wait_behind_it() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    app.execute("o-1", Do::Create(1)).await.unwrap();
    app.schedule::<Order, _>("o-1", Do::Create(2)).await.unwrap();
    for text in ["cancelled", "kept"] {
        app.schedule::<Order, _>("o-1", note(text)).named(text).await.unwrap();
    }
    app.schedule::<Order, _>("o-2", note("goes on")).await.unwrap();
    let running = app.start().await.unwrap();
    let letters = app.dead_letters();
    eventually("the refused one is dead, and the others are parked", || async {
        let dead = letters.list(None, false, 0).await.unwrap();
        dead.first().is_some_and(|letter| letter.parked_behind == 2)
            && notes(&app, "o-2").await == ["goes on"]
    })
    .await;
    let dead = letters.list(None, false, 0).await.unwrap().remove(0);
    assert_eq!((dead.key.as_str(), dead.event_type.as_deref()), ("order/o-1", Some("order-do")));
    assert_eq!((dead.reason.as_deref(), dead.place.as_str()), (Some("Order already created"), "timer"));
    // They are held, and still can be cancelled.
    let timers = app.timers().of_aggregate::<Order>("o-1").unwrap();
    assert_eq!(timers.list().await.unwrap().iter().filter(|timer| timer.held).count(), 3);
    assert!(timers.cancel("cancelled").await.unwrap());
    letters.discard(dead.id, "it exists").await.unwrap();
    eventually("what waited goes on", || async { notes(&app, "o-1").await == ["kept"] }).await;
    eventually("no timer is left", || async { timers.list().await.unwrap().is_empty() }).await;
    settled(&app).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_clock_is_an_hour_off_changes_nothing() {
    for hours in [-1, 1] {
        let shop = Shop::new();
        let store = shop.builder().open().await.unwrap().store().clone();
        let store = Shifted::by(store, Arc::new(AtomicI64::new(hours)));
        let app = App::on(store.clone()).service("shop").scheduled_command::<Order, Do>("order-do");
        let app = app.open().await.unwrap();
        let running = app.start().await.unwrap();
        let now = store.clock().await.unwrap();
        app.schedule::<Order, _>("o-1", note("now")).at(now).await.unwrap();
        app.schedule::<Order, _>("o-1", note("soon")).at(now + millis(300)).await.unwrap();
        app.schedule::<Order, _>("o-1", note("late")).at(now + HOUR / 2).named("late").await.unwrap();
        eventually("what is due has fired", || async { notes(&app, "o-1").await == ["now", "soon"] }).await;
        assert!(store.clock().await.unwrap() >= now + millis(300), "not before its time");
        assert_eq!(waiting(&app, "o-1").await, 1);
        stop(running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_that_wait_cost_a_look_nothing() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    let mut tx = app.begin().await.unwrap();
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
               INSERT INTO fs_timers SELECT 'fs:scheduled-shop', 'order/w-' || CAST(i AS TEXT), 'n', 't', \
               '2099-01-01T00:00:00.000000Z', '2099-01-01T00:00:00.000000Z', 'order-do', '\"Close\"', '{}', \
               '2026-01-01T00:00:00.000000Z' FROM n";
    tx.sql(sql, params![]).await.unwrap();
    tx.commit().await.unwrap();
    for sql in [
        include_str!("../../src/sql/timers/select_due.sql"),
        include_str!("../../src/sql/timers/select_next_due.sql"),
    ] {
        let explain = if shop.url().starts_with("sqlite:") { "EXPLAIN QUERY PLAN " } else { "EXPLAIN " };
        let literals = ["'h'", "'2026'", "'2027'", "'2026'", "''", "''", "500"];
        let bound = literals
            .iter()
            .enumerate()
            .rev()
            .fold(sql.to_owned(), |sql, (at, literal)| sql.replace(&format!("${}", at + 1), literal));
        let statement: String =
            bound.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join(" ");
        let rows = app.store().query(&format!("{explain}{statement}"), params![]).await.unwrap();
        let plan = format!("{rows:?}");
        assert!(
            plan.contains("fs_timers_due") && !plan.contains("Sort") && !plan.contains("B-TREE"),
            "{plan}"
        );
    }
    let running = app.start().await.unwrap();
    app.schedule::<Order, _>("o-1", note("fires")).await.unwrap();
    eventually("it fires beside them", || async { notes(&app, "o-1").await == ["fires"] }).await;
    let (mut after, mut listed) = (None, 0);
    loop {
        let page = app.timers().list(after.as_ref()).await.unwrap();
        listed += page.len();
        let Some(last) = page.into_iter().next_back() else { break };
        after = Some(last);
    }
    assert_eq!(listed, 100_000);
    stop(running).await;
}

#[derive(Serialize, Deserialize)]
struct Unheard;

impl Command<Order> for Unheard {
    type Error = Refused;
    fn decide(&self, _: &Order) -> Result<Vec<OrderEvent>, Refused> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn what_cannot_be_kept_or_executed_is_refused_with_what_to_do() {
    let shop = Shop::new();
    let app = builder(&shop).open().await.unwrap();
    let thousand_years: jiff::Timestamp = "3026-01-01T00:00:00Z".parse().unwrap();
    let refused = app.schedule::<Order, _>("o-1", note("x")).at(thousand_years).named("n").await.unwrap_err();
    assert!(matches!(&refused, Error::Timer { reason, .. } if reason.contains("hundred years")), "{refused}");
    let refused = app.schedule::<Order, _>("o-1", note(&"x".repeat(2_000_000))).await.unwrap_err();
    assert!(matches!(&refused, Error::Timer { reason, .. } if reason.contains("bytes")), "{refused}");
    let refused = app.schedule::<Order, _>("o-1", note("x")).named("two\nlines").await.unwrap_err();
    assert!(matches!(refused, Error::InvalidId(_)), "{refused}");
    let refused = app.schedule::<Order, _>("o-1", Unheard).await.unwrap_err();
    assert!(refused.to_string().contains(".scheduled_command::<Order, Unheard>"), "{refused}");
    assert_eq!(waiting(&app, "o-1").await, 0);
    let twice = builder(&shop).scheduled_command::<Order, Unheard>("order-do").open().await.unwrap_err();
    assert!(twice.to_string().contains("two scheduled commands are called \"order-do\""), "{twice}");
    let twice = builder(&shop).scheduled_command::<Order, Do>("again").open().await.unwrap_err();
    assert!(twice.to_string().contains("declared twice"), "{twice}");
    // A build that does not know what waits.
    app.schedule::<Order, _>("o-1", note("x")).after(HOUR).await.unwrap();
    let forgets = shop.builder().scheduled_command::<Order, Unheard>("unheard").open().await.unwrap_err();
    assert!(forgets.to_string().contains("1 scheduled commands called \"order-do\" wait"), "{forgets}");
}
