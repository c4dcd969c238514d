//! The test kits: they find what is wrong with a fold or a handler, and the clock is in the test's hand.

use crate::common::{Do, Order, OrderEvent, OrderRow, quick};
use factstream::testing::{self, TestApp};
use factstream::{
    App, Consumer, Envelope, Event, ExternalHandler, Failure, Fold, Handler, ReadModel, Retention, Tx,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn created() -> OrderEvent {
    OrderEvent::Created { customer_id: "c-1".into(), amount: 7 }
}

fn panics(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_fold_gives_its_rows_without_a_store() {
    let rows = testing::fold::<OrderRow>([
        Envelope::of("o-1", created()),
        Envelope::of("o-2", created()),
        Envelope::of("o-1", OrderEvent::Noted { text: "hello".into() }),
        Envelope::of("o-2", OrderEvent::Closed),
    ]);
    assert_eq!(rows.all().len(), 2);
    assert_eq!(rows.get("o-1").unwrap().notes, ["hello"]);
    assert_eq!(rows.get("o-2").unwrap().status, "CLOSED");
    assert_eq!(rows.get("o-3"), None);
    let failing = panics(|| {
        testing::fold::<OrderRow>([Envelope::of("o-1", OrderEvent::Noted { text: "fold panics".into() })]);
    });
    assert!(failing.contains("cannot be folded") && failing.contains("told to"), "{failing}");
}

/// A column that loses what its field holds: whether `seen` counts on depends on whether the row was read again.
#[derive(serde::Serialize, serde::Deserialize, Clone, Default)]
struct Forgetful {
    #[serde(skip)]
    seen: i64,
}

#[derive(ReadModel, Clone)]
#[read_model(table = "forgetful")]
struct Counted {
    #[column(key)]
    order_id: String,
    #[column(json)]
    hidden: Forgetful,
    seen: i64,
}

impl Fold for Counted {
    type Events = OrderEvent;

    fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        let hidden = row.map_or(0, |row| row.hidden.seen) + 1;
        Some(Self { order_id: event.aggregate_id.clone(), hidden: Forgetful { seen: hidden }, seen: hidden })
    }
}

#[test]
fn a_row_that_a_rebuild_would_make_otherwise_fails_the_fold_kit() {
    let forgetful = panics(|| {
        testing::fold::<Counted>([Envelope::of("o-1", created()), Envelope::of("o-1", OrderEvent::Closed)]);
    });
    assert!(forgetful.contains("another after a rebuild"), "{forgetful}");
}

/// What is known of orders elsewhere.
#[derive(Event, serde::Serialize, serde::Deserialize, Debug, PartialEq, Clone)]
#[event(topic = "kit.events")]
enum Told {
    KitTold { amount: i64 },
}

struct Recording;

impl Handler for Recording {
    type Events = Told;

    async fn handle(&self, event: &Envelope<Told>, tx: &mut Tx) -> Result<(), Failure> {
        let Told::KitTold { amount } = event.event;
        tx.command::<Order, _>(&event.aggregate_id, Do::Create(amount)).await?;
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_is_given_one_event_and_its_effects_are_seen() {
    let test = testing::handler(Recording).await;
    let delivered = test.deliver(Envelope::of("o-1", Told::KitTold { amount: 7 })).await;
    assert!(delivered.is_handled(), "{delivered:?}");
    assert_eq!(delivered.recorded.len(), 1);
    assert_eq!(test.events::<Order>("o-1").await, [created()]);
    // Another event of the order: the aggregate refuses, and that is final.
    let refused = test.deliver(Envelope::of("o-1", Told::KitTold { amount: 8 })).await;
    assert_eq!((refused.recorded.len(), refused.letters[0].state.as_str()), (0, "dead"));
    assert!(refused.reason().unwrap().contains("already created"), "{refused:?}");
    test.stop().await;
}

/// Fails until it is asked the third time.
struct Asking(AtomicU32);

impl ExternalHandler for Asking {
    type Events = Told;
    type Outcome = u32;

    async fn call(&self, _: &Envelope<Told>) -> Result<u32, Failure> {
        match self.0.fetch_add(1, Ordering::Relaxed) + 1 {
            asked if asked >= 3 => Ok(asked),
            _ => Err("nobody answers".into()),
        }
    }

    async fn handle(&self, event: &Envelope<Told>, asked: &u32, tx: &mut Tx) -> Result<(), Failure> {
        tx.append::<Order>(&event.aggregate_id, &[OrderEvent::Noted { text: asked.to_string() }]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn retries_follow_the_clock_in_hand() {
    let test = testing::external_handler(Asking(0.into())).await;
    let started = test.test_clock().now();
    let delivered = test.deliver(Envelope::of("o-1", Told::KitTold { amount: 7 })).await;
    assert_eq!((delivered.is_handled(), delivered.reason()), (false, Some("nobody answers")));
    let waiting = test.letters("retrying").await.remove(0);
    assert!(waiting.next_attempt_at.unwrap() > started);
    assert_eq!(waiting.created_at, started);

    // Time passes only when the test says so, and then at once.
    test.settle().await;
    assert_eq!(test.letters("retrying").await[0].attempts, 1);
    test.advance(Duration::from_secs(60)).await;
    assert_eq!(test.letters("retrying").await[0].attempts, 2);
    test.exhaust_retries().await;
    assert_eq!(test.events::<Order>("o-1").await, [OrderEvent::Noted { text: "3".into() }]);
    assert!(test.test_clock().now() > started + Duration::from_secs(60));
    test.stop().await;
}

fn shop() -> factstream::Builder {
    let failing = Consumer::new("failing").handler(Recording).retry(quick(3));
    App::builder("").read_model::<OrderRow>().aggregate::<Order>().consumer(failing)
}

#[tokio::test]
async fn a_whole_application_runs_restarts_and_rebuilds_on_its_own_store() {
    let app = TestApp::start(shop()).await;
    app.test_clock().set("2026-11-29T12:00:00Z".parse().unwrap());
    let done = app.execute("o-1", Do::Create(7)).await.unwrap();
    app.record::<Order>("o-1", [OrderEvent::Noted { text: "as it was".into() }]).await;
    assert_eq!(app.read_log(0, 1).await.unwrap()[0].timestamp.to_string(), "2026-11-29T12:00:00Z");
    assert!(app.read::<OrderRow>().wait_for(done.position).get("o-1").await.unwrap().is_some());
    app.rebuilds_to_the_same_rows().await;

    let app = app.restart(shop()).await;
    app.settle().await;
    assert_eq!(app.read::<OrderRow>().get("o-1").await.unwrap().unwrap().notes, ["as it was"]);
    assert_eq!(app.test_clock().now().to_string(), "2026-11-29T12:00:00Z");
    app.stop().await;
}

#[tokio::test]
#[should_panic(expected = "topic orders.events does not exist")]
async fn a_topic_that_nothing_declares_does_not_go_unseen() {
    let app = TestApp::start(App::builder("")).await;
    app.record::<Order>("o-1", [created()]).await;
    app.settle().await;
}

#[tokio::test]
async fn retention_follows_the_clock_in_hand() {
    let keys = Duration::from_secs(24 * 3_600);
    let app =
        TestApp::start(shop().retention(Retention { command_keys: keys, ..Retention::default() })).await;
    app.execute("o-1", Do::Create(7)).key("k-1").await.unwrap();
    assert!(app.execute("o-1", Do::Create(7)).key("k-1").await.unwrap().repeated);
    app.advance(2 * keys).await;
    app.execute("o-1", Do::Create(7)).key("k-1").await.unwrap_err();
    app.stop().await;
}

/// Rows by something else than the events.
#[derive(ReadModel, Clone)]
#[read_model(table = "kit_ticks")]
struct Tick {
    #[column(key)]
    order_id: String,
    folded: i64,
}

static FOLDED: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

impl Fold for Tick {
    type Events = OrderEvent;

    fn fold(_: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
        Some(Self { order_id: event.aggregate_id.clone(), folded: FOLDED.fetch_add(1, Ordering::Relaxed) })
    }
}

#[tokio::test]
#[should_panic(expected = "a rebuild of kit_ticks ends in other rows")]
async fn a_fold_that_is_not_pure_is_found() {
    let app = TestApp::start(App::builder("").read_model::<Tick>()).await;
    app.record::<Order>("o-1", [created()]).await;
    app.rebuilds_to_the_same_rows().await;
}
