//! Orders and payments in two topics, a consumer of both that writes down what it is given, and messages that arrive as a test wants.

use crate::common::{OrderEvent, Shop, eventually, quick};
use factstream::causes::Causes;
use factstream::envelope::{Metadata, RecordedEvent};
use factstream::message::Message;
use factstream::sql::now;
use factstream::status::HandlerStatus;
use factstream::{
    Aggregate, App, Builder, Causal, Consumer, Envelope, Event, EventSet, Failure, Handler, Late, Running,
    Tx, params,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

#[derive(Event, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[event(topic = "payments.events")]
pub(crate) enum PaymentEvent {
    PaymentTaken { what: String },
}

#[derive(Default, Clone)]
pub(crate) struct Payment;

impl Aggregate for Payment {
    const TYPE: &'static str = "payment";
    type Event = PaymentEvent;

    fn apply(&mut self, _: &PaymentEvent) {}
}

#[derive(EventSet)]
pub(crate) enum Facts {
    Order(OrderEvent),
    Payment(PaymentEvent),
}

/// Writes down what it is given, in its transaction. While it is broken, it refuses what is called "bad".
#[derive(Clone, Default)]
pub(crate) struct Analytics {
    pub(crate) broken: Arc<AtomicBool>,
}

impl Handler for Analytics {
    type Events = Facts;

    async fn handle(&self, event: &Envelope<Facts>, tx: &mut Tx) -> Result<(), Failure> {
        let what = what(&event.event);
        if what == "bad" && self.broken.load(Ordering::SeqCst) {
            return Err(Failure::permanent("told to"));
        }
        write_down(tx, &what).await
    }
}

pub(crate) async fn write_down(tx: &mut Tx, what: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO seen (entry, what) SELECT coalesce(max(entry), 0) + 1, $1 FROM seen";
    tx.sql(sql, params![what]).await?;
    Ok(())
}

pub(crate) fn what(event: &Facts) -> String {
    match event {
        Facts::Order(OrderEvent::Noted { text }) => text.clone(),
        Facts::Order(_) => String::new(),
        Facts::Payment(PaymentEvent::PaymentTaken { what }) => what.clone(),
    }
}

pub(crate) const LONG: Duration = Duration::from_secs(600);

/// The consumer, which waits for ten minutes.
pub(crate) fn analytics() -> Consumer {
    waiting(LONG, Late::Handle)
}

pub(crate) fn waiting(wait: Duration, late: Late) -> Consumer {
    plain(Analytics::default()).causal(Causal::wait(wait).then(late))
}

/// One without causal order.
pub(crate) fn plain(handler: impl Handler) -> Consumer {
    Consumer::new("analytics").handler(handler).retry(quick(2))
}

/// A store, and topics, of a test's own.
pub(crate) struct Setup {
    pub(crate) shop: Shop,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self { shop: Shop::new() }
    }

    pub(crate) fn builder(&self) -> Builder {
        self.shop.builder().aggregate::<Payment>()
    }

    pub(crate) async fn open(&self, consumer: Consumer) -> App {
        let app = self.builder().consumer(consumer).open().await.unwrap();
        let mut tx = app.begin().await.unwrap();
        tx.sql("CREATE TABLE IF NOT EXISTS seen (entry BIGINT, what TEXT)", params![]).await.unwrap();
        tx.commit().await.unwrap();
        app
    }
}

/// Members that run the consumer in so many lanes.
pub(crate) async fn members(setup: &Setup, lanes: usize, count: usize) -> (Vec<App>, Vec<Running>) {
    let mut apps = Vec::new();
    for _ in 0..count {
        apps.push(setup.open(analytics().concurrency(lanes)).await);
    }
    let mut running = Vec::new();
    for app in &apps {
        running.push(app.start().await.unwrap());
    }
    (apps, running)
}

/// An event of some producer's log, as its relay publishes it.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) id: Uuid,
    event_type: String,
    topic: String,
    pub(crate) causes: Causes,
    pub(crate) message: Message,
}

/// A payment: of this key, with these direct causes, the newest last.
pub(crate) fn payment(key: &str, what: &str, causes: &[&Published]) -> Published {
    published(Uuid::now_v7(), key, &PaymentEvent::PaymentTaken { what: what.to_owned() }, after(causes))
}

/// A note on an order.
pub(crate) fn note(key: &str, text: &str, causes: &[&Published]) -> Published {
    published(Uuid::now_v7(), key, &OrderEvent::Noted { text: text.to_owned() }, after(causes))
}

/// What an event's causes are that these led to.
pub(crate) fn after(causes: &[&Published]) -> Causes {
    causes.iter().fold(Causes::default(), |before, cause| {
        let before = if before.is_empty() { cause.causes.clone() } else { before };
        before.and(&cause.id.to_string(), &cause.event_type, &cause.topic)
    })
}

pub(crate) fn published<E: Event>(id: Uuid, key: &str, event: &E, causes: Causes) -> Published {
    let event_type = event.event_type();
    let topic = event_type.topic.unwrap().to_owned();
    let metadata = Metadata {
        source: "elsewhere".into(),
        topic: Some(topic.clone()),
        causes: causes.clone(),
        ..Metadata::default()
    };
    let recorded = RecordedEvent {
        position: 1,
        aggregate_type: "test".into(),
        aggregate_id: key.to_owned(),
        version: 1,
        event_id: id,
        event_type: event_type.name.to_owned(),
        schema_version: event_type.version,
        data: event.encode().unwrap().into(),
        metadata: serde_json::to_string(&metadata).unwrap(),
        timestamp: now(),
    };
    let message = Message::of(&recorded).unwrap().unwrap();
    Published { id, event_type: event_type.name.to_owned(), topic, causes, message }
}

pub(crate) async fn publish(app: &App, events: &[&Published]) {
    app.broker().publish(events.iter().map(|event| event.message.clone()).collect()).await.unwrap();
}

/// What the consumer has been given, in this order.
pub(crate) async fn seen(app: &App) -> Vec<String> {
    let rows = app.store().query("SELECT what FROM seen ORDER BY entry", params![]).await.unwrap();
    rows.iter().map(|row| row.get("what").unwrap()).collect()
}

pub(crate) async fn eventually_seen(app: &App, expected: &[&str]) {
    eventually(&format!("these are handled, in this order: {expected:?}"), || async {
        let seen = seen(app).await;
        assert!(expected.starts_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()), "{seen:?}");
        seen.len() == expected.len()
    })
    .await;
}

pub(crate) async fn of_analytics(app: &App) -> HandlerStatus {
    app.status().await.handlers.into_iter().find(|handler| handler.name == "analytics").unwrap()
}

/// Until so many keys wait for a cause.
pub(crate) async fn eventually_waiting(app: &App, keys: u64) {
    eventually(&format!("{keys} keys wait for a cause"), || async {
        of_analytics(app).await.waiting == Some(keys)
    })
    .await;
}

pub(crate) async fn nothing_waits(app: &App) {
    eventually("nothing waits", || async {
        let status = of_analytics(app).await;
        status.waiting == Some(0) && status.retrying == Some(0) && status.parked == Some(0)
    })
    .await;
}

/// What is in order: nothing waits, nothing was late, and nothing counted as a failure.
pub(crate) async fn nothing_is_left(app: &App) {
    nothing_waits(app).await;
    let status = of_analytics(app).await;
    assert_eq!((status.late, status.attempts, status.dead_letters), (Some(0), 0, Some(0)), "{status:?}");
}
