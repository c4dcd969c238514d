//! What the contests on Kafka share: topics that are new, and a producer that is done when all is delivered.

use crate::Failed;
use factstream::message::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of every topic here.
pub(super) const PARTITIONS: i32 = 6;
/// How long the broker may take for anything.
const ANSWER: Duration = Duration::from_secs(30);
const RETRY_WAIT: Duration = Duration::from_millis(20);

/// The settings of every raw client.
pub(crate) fn config(kafka: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.trim_start_matches("kafka://"));
    config
}

/// The settings of every raw consumer: what exactly-once effects take, and fetches that never leave it idle.
pub(crate) fn consumer_config(kafka: &str, group: &str) -> ClientConfig {
    let mut config = config(kafka);
    config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.wait.max.ms", "100");
    config
}

/// The settings of every raw producer.
pub(crate) fn producer_config(kafka: &str) -> ClientConfig {
    let mut config = config(kafka);
    config.set("enable.idempotence", "true").set("acks", "all").set("partitioner", "murmur2_random");
    config
}

/// Makes a topic that holds nothing, whatever there was before.
pub(crate) async fn topic_anew(kafka: &str, topic: &str) -> Result<(), Failed> {
    let admin: AdminClient<DefaultClientContext> = config(kafka).create()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    for deleted in admin.delete_topics(&[topic], &options).await? {
        match deleted {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code).into()),
        }
    }
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    loop {
        let made = admin.create_topics([&new], &options).await?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => tokio::time::sleep(RETRY_WAIT).await,
            Some(Err((_, code))) => return Err(KafkaError::AdminOp(code).into()),
            _ => break,
        }
    }
    loop {
        let metadata = admin.inner().fetch_metadata(Some(topic), ANSWER)?;
        let led = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().iter().filter(|partition| partition.leader() >= 0).count());
        if led == PARTITIONS as usize {
            return Ok(());
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

/// How many messages lie in a topic.
pub(crate) fn count_messages(kafka: &str, topic: &str) -> Result<u64, Failed> {
    let consumer: BaseConsumer = config(kafka).create()?;
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let (oldest, next) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        count += (next - oldest).cast_unsigned();
    }
    Ok(count)
}

/// Counts what became of messages.
#[derive(Clone, Default)]
pub(crate) struct Deliveries(Arc<Counts>);

#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.0.delivered } else { &self.0.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A producer for as many messages as there are, as fast as it goes.
pub(crate) fn bulk_producer(kafka: &str) -> Result<ThreadedProducer<Deliveries>, Failed> {
    Ok(producer_config(kafka).create_with_context(Deliveries::default())?)
}

/// Produces them all, and waits until every one is acknowledged.
pub(crate) fn produce_all(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    messages: &[Message],
) -> Result<(), Failed> {
    for message in messages {
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).headers(headers(message)).timestamp(message.timestamp.as_millisecond());
        (record.key, record.payload) = (message.key.as_deref(), message.value.as_deref());
        while let Err((error, unsent)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            record = unsent;
        }
    }
    producer.flush(ANSWER)?;
    let Counts { delivered, failed } = &*producer.context().0;
    match (delivered.load(Ordering::Relaxed), failed.load(Ordering::Relaxed)) {
        (delivered, 0) if delivered == messages.len() as u64 => Ok(()),
        (delivered, failed) => Err(format!("{delivered} messages were delivered, {failed} failed").into()),
    }
}

pub(crate) fn headers(message: &Message) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(message.headers.len());
    message
        .headers
        .iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
