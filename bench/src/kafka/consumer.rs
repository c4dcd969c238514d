//! K2: every message of a topic becomes a row in PostgreSQL, exactly once.
//!
//! The clock runs from the first message to the last commit: how long a group takes to form is another question, and the same
//! for all.

use super::support::{PARTITIONS, bulk_producer, produce_all, topic_anew};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Step};
use crate::postgres::connect;
use crate::workload::{Ids, RawEvent, event};
use factstream::causes::Causes;
use factstream::message::Message;
use factstream::partition::partition_of;
use factstream::{App, Causal, Consumer, Envelope, Event, Failure, Handler, ReadModel, RecordedEvent, Tx};
use orders::order::OrderEvent;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

pub(crate) const TOPIC: &str = "bench.k2";
/// The row that a message becomes.
pub(crate) const TABLE: &str = "CREATE TABLE placed_orders (order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, total_cents BIGINT NOT NULL)";
const CHUNK_MESSAGES: u64 = 10_000;
const LOOK: Duration = Duration::from_millis(10);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

/// What this consumer reads of an order.
#[derive(Event, Serialize, Deserialize)]
#[event(topic = "bench.k2")]
pub(crate) enum Placed {
    #[event(name = "OrderCreated", version = 1)]
    Created { customer_id: String, total_cents: u64 },
}

/// A group that nobody was in before.
pub(crate) fn group() -> String {
    format!("bench-{}", Uuid::now_v7())
}

/// A topic with as many orders as the contest's size.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    prepare_with(place, message).await
}

/// As [`prepare`]; each order of the second half has one of the first half as its cause, which is handled by then: it lies earlier in its
/// own partition.
pub(crate) async fn prepare_with_causes(place: Place) -> Result<Figures, Failed> {
    let (half, mut published) = (place.size / 2, HashMap::<u32, VecDeque<String>>::new());
    prepare_with(place, move |ids, number| {
        let mut message = message(ids, number)?;
        let partition = partition_of(message.key.as_deref().unwrap_or_default(), PARTITIONS.unsigned_abs());
        let causes = published.entry(partition).or_default();
        if number < half {
            let id = message.headers.get("event_id").unwrap_or_default();
            causes.push_back(String::from_utf8_lossy(id).into_owned());
        } else if let Some(cause) = causes.pop_front() {
            let causes = Causes::default().and(&cause, "OrderCreated", TOPIC);
            message.headers.push("causes", causes.as_str());
        }
        Ok(message)
    })
    .await
}

async fn prepare_with(
    place: Place,
    mut message: impl FnMut(Ids, u64) -> Result<Message, Failed>,
) -> Result<Figures, Failed> {
    topic_anew(&place.kafka, TOPIC).await?;
    let began = Instant::now();
    let ids = Ids::new();
    let mut from = 0;
    while from < place.size {
        let to = (from + CHUNK_MESSAGES).min(place.size);
        let messages = (from..to).map(|number| message(ids, number)).collect::<Result<Vec<_>, _>>()?;
        produce_all(&bulk_producer(&place.kafka)?, TOPIC, &messages)?;
        from = to;
    }
    Ok(Figures::rate(place.size, began))
}

/// The message that the relay makes of an order's first event.
pub(crate) fn message(ids: Ids, number: u64) -> Result<Message, Failed> {
    let raw = RawEvent::new(ids, number, Step::Create);
    let event = RecordedEvent {
        position: number + 1,
        aggregate_type: "order".to_owned(),
        aggregate_id: raw.aggregate_id,
        version: raw.version.cast_unsigned(),
        event_id: raw.event_id,
        event_type: raw.event_type.to_owned(),
        schema_version: 1,
        data: raw.data,
        metadata: raw.metadata,
        timestamp: raw.timestamp.parse()?,
    };
    Message::of(&event)?.ok_or_else(|| "an order's event is public".into())
}

/// A row, as a user declares it.
#[derive(ReadModel, Clone)]
#[read_model(table = "placed_orders")]
struct PlacedOrder {
    #[column(key)]
    order_id: String,
    customer_id: String,
    total_cents: u64,
}

/// What a user writes, with what is as it is unless said.
struct Placing {
    handled: Arc<Handled>,
}

/// What the benchmark has to know of the handler.
#[derive(Default)]
struct Handled {
    began: OnceLock<Instant>,
    messages: AtomicU64,
}

impl Handler for Placing {
    type Events = Placed;

    async fn handle(&self, event: &Envelope<Placed>, tx: &mut Tx) -> Result<(), Failure> {
        self.handled.began.get_or_init(Instant::now);
        let Placed::Created { customer_id, total_cents } = &event.event;
        let (order_id, customer_id) = (event.aggregate_id.clone(), customer_id.clone());
        tx.put(&PlacedOrder { order_id, customer_id, total_cents: *total_cents }).await?;
        self.handled.messages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub(crate) async fn consumer(place: Place) -> Result<Figures, Failed> {
    consumer_with(place, |consumer| consumer).await
}

/// The same with causal order (G19).
pub(crate) async fn causal_consumer(place: Place) -> Result<Figures, Failed> {
    consumer_with(place, |consumer| consumer.causal(Causal::wait(PATIENCE))).await
}

async fn consumer_with(place: Place, options: impl Fn(Consumer) -> Consumer) -> Result<Figures, Failed> {
    let client = connect(&place.database).await?;
    client.batch_execute(TABLE).await?;
    let handled = Arc::<Handled>::default();
    let consumer = options(Consumer::new(group()).handler(Placing { handled: Arc::clone(&handled) }));
    let app = App::builder(&place.database).broker(&place.kafka).consumer(consumer).open().await?;
    let started = Instant::now();
    let running = app.start().await?;
    let count = client.prepare("SELECT count(*) FROM placed_orders").await?;
    // Rows are counted only when all are handled: counting them takes time from those that write them.
    while handled.messages.load(Ordering::Relaxed) < place.size
        || client.query_one(&count, &[]).await?.get::<_, i64>(0) < place.size.cast_signed()
    {
        if started.elapsed() > PATIENCE {
            return Err("the consumer does not get there".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    let figures = Figures::rate(place.size, *handled.began.get().ok_or("nothing was handled")?);
    running.stop(STOP_WITHIN).await;
    check(&place.database, place.size, "fs_inbox").await?;
    Ok(figures)
}

/// Every order is there once, with its own total, and marked as handled.
pub(crate) async fn check(database: &str, size: u64, inbox: &str) -> Result<(), Failed> {
    let client = connect(database).await?;
    let rows = client.query_one("SELECT count(*), sum(total_cents)::bigint FROM placed_orders", &[]).await?;
    let marks = client.query_one(&format!("SELECT count(*) FROM {inbox}"), &[]).await?;
    let found: [i64; 3] = [rows.get(0), rows.get(1), marks.get(0)];
    let total: u64 = (0..size).map(total_cents).sum();
    let wanted = [size, total, size].map(u64::cast_signed);
    match found == wanted {
        true => Ok(()),
        false => Err(format!("rows, their total, and marks: {found:?}; these were to be: {wanted:?}").into()),
    }
}

fn total_cents(number: u64) -> u64 {
    match event(number, Step::Create) {
        OrderEvent::Created { total_cents, .. } => total_cents,
        _ => 0,
    }
}
