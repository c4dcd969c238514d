//! K3 by hand: commit, produce without linger, consume, commit.

use super::consumer::group;
use super::latency::{Clock, Database, TABLE, TOPIC};
use super::support::{consumer_config, headers, producer_config, topic_anew};
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Step};
use crate::postgres::connect;
use crate::workload::{Ids, RawEvent};
use factstream::RecordedEvent;
use factstream::message::Message;
use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::Headers;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

/// The log of the first service, as factstream has it.
const EVENTS: &str =
    "CREATE TABLE events (position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL, version BIGINT NOT NULL, event_id UUID NOT NULL UNIQUE, event_type TEXT NOT NULL,
    schema_version BIGINT NOT NULL, event_data JSON NOT NULL, metadata JSON NOT NULL, timestamp TIMESTAMPTZ NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, version))";
const INSERT: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) VALUES ('order', $1, $2, $3, $4, 1, $5::text::json, $6::text::json,
    $7::text::timestamptz) RETURNING position";
const INBOX: &str =
    "CREATE TABLE inbox (event_id UUID PRIMARY KEY, handled_at TIMESTAMPTZ NOT NULL DEFAULT now())";
const SEE: &str =
    "WITH fresh AS (INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1)
    INSERT INTO seen_orders (order_id, customer_id) SELECT $2, $3 FROM fresh
    ON CONFLICT (order_id) DO UPDATE SET customer_id = excluded.customer_id";

/// The first service.
struct Orders {
    client: Client,
    insert: Statement,
    producer: FutureProducer,
}

impl Orders {
    async fn open(place: &Place) -> Result<Self, Failed> {
        let client = connect(&place.database).await?;
        client.batch_execute(EVENTS).await?;
        let insert = client.prepare(INSERT).await?;
        let producer = producer_config(&place.kafka).set("linger.ms", "0").create()?;
        Ok(Self { client, insert, producer })
    }

    async fn create(&self, order_id: String, number: u64) -> Result<(), Failed> {
        let raw = RawEvent::new(Ids::new(), number, Step::Create);
        let RawEvent { version, event_id, event_type, data, metadata, timestamp, .. } = raw;
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&order_id, &version, &event_id, &event_type, &data, &metadata, &timestamp];
        let row = self.client.query_one(&self.insert, &params).await?;
        let event = RecordedEvent {
            position: row.get::<_, i64>(0).cast_unsigned(),
            aggregate_type: "order".to_owned(),
            aggregate_id: order_id,
            version: version.cast_unsigned(),
            event_id,
            event_type: event_type.to_owned(),
            schema_version: 1,
            data,
            metadata,
            timestamp: timestamp.parse()?,
        };
        let message = Message::of(&event)?.ok_or("an order's event is public")?;
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(TOPIC).headers(headers(&message)).timestamp(message.timestamp.as_millisecond());
        (record.key, record.payload) = (message.key.as_deref(), message.value.as_deref());
        self.producer.send(record, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(())
    }
}

/// The other service.
struct Seeing {
    client: Client,
    see: Statement,
    consumer: StreamConsumer,
}

#[derive(Deserialize)]
struct Seen {
    customer_id: String,
}

impl Seeing {
    async fn open(place: &Place, database: &str) -> Result<Self, Failed> {
        let client = connect(database).await?;
        client.batch_execute(TABLE).await?;
        client.batch_execute(INBOX).await?;
        let see = client.prepare(SEE).await?;
        let consumer: StreamConsumer = consumer_config(&place.kafka, &group()).create()?;
        consumer.subscribe(&[TOPIC])?;
        Ok(Self { client, see, consumer })
    }

    async fn run(self) -> Result<(), Failed> {
        loop {
            let message = self.consumer.recv().await?;
            let headers = message.headers().ok_or("a message has headers")?;
            let id = headers.iter().find(|header| header.key == "event_id").and_then(|header| header.value);
            let id: Uuid = std::str::from_utf8(id.ok_or("a message has an id")?)?.parse()?;
            let key = std::str::from_utf8(message.key().ok_or("a message has a key")?)?;
            let Seen { customer_id } =
                serde_json::from_slice(message.payload().ok_or("a message has a value")?)?;
            self.client.execute(&self.see, &[&id, &key, &customer_id]).await?;
            self.consumer.commit_message(&message, CommitMode::Async)?;
        }
    }
}

pub(crate) async fn chain(place: Place) -> Result<Figures, Failed> {
    topic_anew(&place.kafka, TOPIC).await?;
    let other = Database::make(&place).await?;
    let seeing = tokio::spawn(Seeing::open(&place, &other.url).await?.run());
    let orders = Arc::new(Orders::open(&place).await?);
    let clock = Clock::new(&other.url)?;
    let measured = clock
        .measure(place.size, move |order_id, number| {
            let orders = Arc::clone(&orders);
            async move { orders.create(order_id, number).await }
        })
        .await;
    if seeing.is_finished() {
        seeing.await??;
    } else {
        seeing.abort();
    }
    other.drop(&place).await?;
    measured
}
