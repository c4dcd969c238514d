//! One event for a handler, as its topic delivers it: also twice.

use super::app::TestApp;
use crate::app::App;
use crate::handler::declare::Consumer;
use crate::handler::{ExternalHandler, Handler};
use crate::ops::dead_letters::Summary;
use factstream_core::context::Context;
use factstream_core::envelope::{Envelope, Metadata, Position, RecordedEvent};
use factstream_core::event::Event;
use factstream_core::message::Message;
use factstream_core::params;
use factstream_core::sql::Row;
use uuid::Uuid;

/// What the consumer is called that [`handler`] and [`external_handler`] make.
const CONSUMER: &str = "the handler under test";

/// An application with this handler and nothing else: [deliver](TestApp::deliver) events to it, and look at what came of them.
///
/// ```
/// use factstream::testing;
/// use factstream::{Aggregate, Envelope, Event, Failure, Handler, Tx};
///
/// #[derive(Event, serde::Serialize, serde::Deserialize)]
/// #[event(topic = "orders.events")]
/// enum OrderEvent {
///     OrderCreated { cents: i64 },
/// }
///
/// #[derive(Event, serde::Serialize, serde::Deserialize, Debug, PartialEq)]
/// enum InvoiceEvent {
///     InvoiceMade { cents: i64 },
/// }
///
/// #[derive(Default, Clone)]
/// struct Invoice;
///
/// impl Aggregate for Invoice {
///     const TYPE: &'static str = "invoice";
///     type Event = InvoiceEvent;
///     fn apply(&mut self, _: &InvoiceEvent) {}
/// }
///
/// struct Invoicing;
///
/// impl Handler for Invoicing {
///     type Events = OrderEvent;
///
///     async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
///         let OrderEvent::OrderCreated { cents } = event.event;
///         tx.append::<Invoice>(&event.aggregate_id, &[InvoiceEvent::InvoiceMade { cents }]).await?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let test = testing::handler(Invoicing).await;
/// let delivered = test.deliver(Envelope::of("o-1", OrderEvent::OrderCreated { cents: 500 })).await;
/// assert!(delivered.is_handled());
/// assert_eq!(test.events::<Invoice>("o-1").await, [InvoiceEvent::InvoiceMade { cents: 500 }]);
/// # test.stop().await;
/// # }
/// ```
///
/// # Panics
/// As [`TestApp::start`].
pub async fn handler<H: Handler>(handler: H) -> TestApp {
    TestApp::start_part(App::builder("").consumer(Consumer::new(CONSUMER).handler(handler))).await
}

/// As [`handler`], for one that asks the outside world first.
///
/// # Panics
/// As [`TestApp::start`].
pub async fn external_handler<H: ExternalHandler>(handler: H) -> TestApp {
    TestApp::start_part(App::builder("").consumer(Consumer::new(CONSUMER).external(handler))).await
}

/// What came of one delivered event.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivered {
    /// The events that were recorded because of it.
    pub recorded: Vec<RecordedEvent>,
    /// Those handlers that could not handle it, and why: it is retried, or a dead letter.
    pub letters: Vec<Summary>,
}

impl Delivered {
    /// Whether every handler could handle it.
    pub fn is_handled(&self) -> bool {
        self.letters.is_empty()
    }

    /// Why the first handler that failed could not handle it.
    pub fn reason(&self) -> Option<&str> {
        self.letters.first()?.reason.as_deref()
    }
}

impl TestApp {
    /// Publishes an event on its topic, as another service would, and waits until it is handled by all who read that topic. Then it
    /// is published again: a repeat must change nothing, neither the log nor any table.
    ///
    /// # Panics
    /// When the event has no topic or no consumer that declares it, when it is not handled in time, or when the repeat has an effect.
    pub async fn deliver<E: Event>(&self, event: Envelope<E>) -> Delivered {
        let before = self.head_now().await;
        let message = message_of(&event);
        self.publish(message.clone()).await;
        self.settle().await;
        let (recorded, after) = (self.recorded_after(before).await, self.contents().await);
        self.publish(message).await;
        self.settle().await;
        let again = self.contents().await;
        for (table, rows) in &again {
            let first = after.iter().find(|(name, _)| name == table).map(|(_, rows)| rows);
            assert_eq!(Some(rows), first, "the second delivery of {} has changed {table}", event.event_type);
        }
        let mut letters = Vec::new();
        for state in ["retrying", "waiting", "dead", "parked"] {
            letters.extend(
                self.letters(state).await.into_iter().filter(|letter| letter.event_id == event.event_id),
            );
        }
        Delivered { recorded, letters }
    }

    async fn publish(&self, message: Message) {
        let topic = message.topic.clone();
        let published = self.broker().publish(vec![message]).await;
        published.unwrap_or_else(|error| {
            panic!("nothing can be published on {topic}: does a consumer declare an event of it? {error}")
        });
    }

    async fn recorded_after(&self, after: Position) -> Vec<RecordedEvent> {
        let recorded = self.read_log(after, usize::MAX >> 1).await;
        recorded.unwrap_or_else(|error| panic!("the log cannot be read: {error}"))
    }

    /// Every row of the events and of the application's own tables.
    async fn contents(&self) -> Vec<(String, Vec<Row>)> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'fs\\_%' ESCAPE '\\' \
                   AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let mut contents = Vec::new();
        for table in self.rows(sql, params![]).await {
            let name: String = table.get("name").unwrap_or_else(|error| panic!("{error}"));
            let rows = self.rows(&format!("SELECT * FROM \"{name}\""), params![]).await;
            contents.push((name, rows));
        }
        contents
    }
}

/// The event as its service's relay would publish it.
fn message_of<E: Event>(event: &Envelope<E>) -> Message {
    let topic = event.event.event_type().topic;
    let topic = topic.unwrap_or_else(|| {
        panic!("{} has no topic: a consumer never gets it; use record for a projection", event.event_type)
    });
    let context = Context::of(event).metadata(event.source.clone());
    let metadata = Metadata { topic: Some(topic.to_owned()), ..context };
    let json = |error| panic!("{} cannot be written as JSON: {error}", event.event_type);
    let recorded = RecordedEvent {
        position: event.position.unwrap_or(1),
        aggregate_type: event.aggregate_type.clone().unwrap_or_else(|| "test".to_owned()),
        aggregate_id: event.aggregate_id.clone(),
        version: event.version.unwrap_or(1),
        event_id: Uuid::parse_str(&event.event_id)
            .unwrap_or_else(|error| panic!("the event's id is no UUID: {error}")),
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        data: event.event.encode().map_or_else(json, String::from),
        metadata: serde_json::to_string(&metadata).unwrap_or_else(json),
        timestamp: event.timestamp,
    };
    let message = Message::of(&recorded).unwrap_or_else(|error| panic!("no message can be made: {error}"));
    message.unwrap_or_else(|| unreachable!("it has a topic"))
}
