//! What an event says is the same wherever it is read: every digit of its numbers, every nanosecond of its times, every field and no
//! other, for every shape that can be recorded.

use factstream::{
    Aggregate, App, Command, Consumer, Envelope, Event, Failure, Fold, Handler, Projection, Projector,
    ReadModel, Rows, Shape, Tx,
};
use factstream_tests::pair::{Pair, Place};
use jiff::Timestamp;
use orders::demo::settle;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long it may take until all is settled.
const PATIENCE: Duration = Duration::from_secs(30);

const EVENTS: usize = 60;

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "exact.events")]
enum ExactEvent {
    Counted { whole: i64, natural: u64, large: u128, real: f64, at: Timestamp, text: String },
    Flat(Flat),
    Named(Named),
    Strict(Strict),
    Bare,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Shape)]
struct Flat {
    own: String,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Shape)]
struct Named {
    aggregate_id: String,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Shape)]
#[serde(deny_unknown_fields)]
struct Strict {
    text: String,
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has no other", |number| number.is_finite())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        finite().prop_map(Into::into),
        text().prop_map(Into::into),
    ]
}

/// PostgreSQL's text has no NUL.
fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn event() -> impl Strategy<Value = ExactEvent> {
    // Seconds of the years 1 to 9999, and nanoseconds.
    let at = (-62_135_596_800_i64..253_402_207_200, 0..1_000_000_000_i32);
    let at = at.prop_map(|(seconds, nanos)| Timestamp::new(seconds, nanos).expect("a time of these years"));
    let counted = (any::<i64>(), any::<u64>(), any::<u128>(), finite(), at, text());
    let counted = counted.prop_map(|(whole, natural, large, real, at, text)| ExactEvent::Counted {
        whole,
        natural,
        large,
        real,
        at,
        text,
    });
    let key = prop_oneof![Just("aggregate_id".to_owned()), "[a-z]{4,8}"];
    let more = proptest::collection::btree_map(key, value(), 0..4);
    prop_oneof![
        3 => counted,
        2 => (text(), more).prop_map(|(own, more)| ExactEvent::Flat(Flat { own, more })),
        1 => text().prop_map(|aggregate_id| ExactEvent::Named(Named { aggregate_id })),
        1 => text().prop_map(|text| ExactEvent::Strict(Strict { text })),
        1 => Just(ExactEvent::Bare),
    ]
}

#[derive(Default, Clone)]
struct Exact;

impl Aggregate for Exact {
    const TYPE: &'static str = "exact";
    type Event = ExactEvent;
    fn apply(&mut self, _: &ExactEvent) {}
}

struct Record(ExactEvent);

impl Command<Exact> for Record {
    type Error = std::convert::Infallible;

    fn decide(&self, _: &Exact) -> Result<Vec<ExactEvent>, Self::Error> {
        Ok(vec![self.0.clone()])
    }
}

type Events = BTreeMap<String, ExactEvent>;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Events>>);

impl Seen {
    fn add(&self, event: &Envelope<ExactEvent>) {
        self.0.lock().unwrap().insert(event.aggregate_id.clone(), event.event.clone());
    }
}

impl Handler for Seen {
    type Events = ExactEvent;

    async fn handle(&self, event: &Envelope<ExactEvent>, _: &mut Tx) -> Result<(), Failure> {
        self.add(event);
        Ok(())
    }
}

impl Projector for Seen {
    type Events = ExactEvent;

    async fn project(&self, event: &Envelope<ExactEvent>, _: &mut Rows) -> Result<(), Failure> {
        self.add(event);
        Ok(())
    }
}

#[derive(ReadModel, Clone, Debug, PartialEq)]
#[read_model(table = "exact_rows")]
struct ExactRow {
    #[column(key)]
    id: String,
    whole: i64,
    real: f64,
    at: Timestamp,
    maybe_at: Option<Timestamp>,
    text: String,
}

impl Fold for ExactRow {
    type Events = ExactEvent;

    fn fold(_: Option<Self>, event: &Envelope<ExactEvent>) -> Option<Self> {
        let ExactEvent::Counted { whole, real, at, text, .. } = &event.event else { return None };
        let (id, text) = (event.aggregate_id.clone(), text.clone());
        Some(Self { id, whole: *whole, real: *real, at: *at, maybe_at: Some(*at), text })
    }
}

async fn everything_is_read_as_it_was_recorded(pair: Pair) {
    let place = Place::new(pair);
    let (from_topic, from_log) = (Seen::default(), Seen::default());
    let app = App::builder(&place.store)
        .broker(&place.broker)
        .service("exact")
        .aggregate::<Exact>()
        .consumer(Consumer::new("seen").handler(from_topic.clone()))
        .projection(Projection::new("seen_in_log", from_log.clone()))
        .read_model::<ExactRow>()
        .open()
        .await
        .unwrap();
    let running = app.start().await.unwrap();
    let mut runner = TestRunner::default();
    let recorded: Events = (0..EVENTS)
        .map(|n| (format!("e-{n:02}"), event().new_tree(&mut runner).unwrap().current()))
        .collect();
    for (id, event) in &recorded {
        app.execute::<Exact, _>(id, Record(event.clone())).await.unwrap();
    }
    settle(&app, PATIENCE).await.unwrap();
    let letters = app.dead_letters().list(None, false, 0).await.unwrap();
    assert!(letters.is_empty(), "{letters:?}");
    assert_eq!(*from_topic.0.lock().unwrap(), recorded, "from the topic");
    assert_eq!(*from_log.0.lock().unwrap(), recorded, "from the log");
    let rows = || async { app.read::<ExactRow>().limit(EVENTS).list().await.unwrap().rows };
    let live = rows().await;
    assert_eq!(
        live.len(),
        recorded.values().filter(|event| matches!(event, ExactEvent::Counted { .. })).count()
    );
    for row in &live {
        let ExactEvent::Counted { whole, real, at, text, .. } = &recorded[&row.id] else { panic!("{row:?}") };
        assert_eq!((row.whole, row.real, row.at, &row.text), (*whole, *real, *at, text));
        // By its value it is found again, to the last digit.
        let found =
            app.read::<ExactRow>().filter(|column| column.at.eq(*at)).filter(|column| column.id.eq(&row.id));
        assert_eq!(found.list().await.unwrap().rows, std::slice::from_ref(row));
    }
    app.rebuild("exact_rows", |_| {}).await.unwrap();
    assert_eq!(rows().await, live, "live and rebuilt");
    assert!(running.stop(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn on_sqlite_alone() {
    everything_is_read_as_it_was_recorded(Pair::SqliteEmbedded).await;
}

#[tokio::test]
async fn on_postgres_alone() {
    everything_is_read_as_it_was_recorded(Pair::PostgresEmbedded).await;
}

#[tokio::test]
async fn on_sqlite_and_kafka() {
    everything_is_read_as_it_was_recorded(Pair::SqliteKafka).await;
}

#[tokio::test]
async fn on_postgres_and_kafka() {
    everything_is_read_as_it_was_recorded(Pair::PostgresKafka).await;
}
