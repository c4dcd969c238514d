//! Publishing in order: an idempotent producer, every message sent before the first is waited for.
//!
//! Invariant: nothing overtakes a message of its key that was refused (G5). The producer is gapless: after a refusal it
//! writes nothing more. One that failed a message is purged and never used again; a new one goes on from the first
//! message that is not acknowledged.

mod known;
mod size;
mod time;

use crate::config::{Reasons, is_passing, refused};
use factstream_core::broker::{BrokerError, PublishError};
use factstream_core::message::Message;
use known::Known;
pub(crate) use known::Layout;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use time::Clocks;

/// How often the wait for an acknowledgement looks whether the cluster refuses us for good.
const LOOK_FOR_REFUSAL: Duration = Duration::from_secs(1);
/// The pause before the queue that others have filled is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(10);
/// How often in a row a message is sent with a new producer because another's message ended the old one.
const RENEWALS_MAX: u32 = 5;

pub(crate) struct Publisher {
    config: ClientConfig,
    reasons: Reasons,
    current: Mutex<Current>,
    known: Known,
    clocks: Clocks,
}

/// The producer in use.
#[derive(Clone)]
struct Current {
    producer: FutureProducer<Reasons>,
    /// How many were used up before it.
    generation: u64,
    /// The most that it sends in one piece; a message alone may have more.
    batch_bytes: usize,
}

/// Why the first message that is not acknowledged is not.
enum Failure {
    /// Refused before it was sent; the producer is as it was.
    AtHand(KafkaError),
    /// Not delivered: the producer is used up.
    Undelivered(KafkaError),
    /// The cluster refuses us: the producer is used up, for it has messages that nobody waits for.
    Refused(BrokerError),
}

/// A message of this size has nothing behind it when it may be refused: librdkafka may still send what waits behind a refused
/// message, and later ones of its key would overtake it.
const ALONE_BYTES: usize = 16 * 1024;

fn is_to_go_alone(message: &Message) -> bool {
    message.value.as_ref().map_or(0, Vec::len) >= ALONE_BYTES
}

impl Publisher {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, BrokerError> {
        let reasons = Reasons::of(config);
        let batch_bytes = config.get("batch.size").and_then(|size| size.parse().ok());
        let batch_bytes = batch_bytes.unwrap_or(size::BATCH_BYTES_MAX);
        let producer = produce(config, &reasons, batch_bytes)?;
        let current = Mutex::new(Current { producer, generation: 0, batch_bytes });
        Ok(Self {
            config: config.clone(),
            reasons,
            current,
            known: Known::default(),
            clocks: Clocks::default(),
        })
    }

    /// Publishes in order; an error says how many from the first are durable for certain.
    pub(crate) async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError> {
        let topics: HashSet<String> = batch.iter().map(|message| message.topic.clone()).collect();
        let nothing = |source| PublishError { acknowledged: 0, source };
        self.check_topics(topics.into_iter().collect()).await.map_err(nothing)?;
        let (mut acknowledged, mut renewals) = (0, 0);
        loop {
            let current = self.current().clone();
            let rest = &batch[acknowledged..];
            let (delivered, failure) = self.deliver(&current.producer, rest).await;
            acknowledged += delivered;
            if delivered > 0 {
                self.reasons.forget();
            }
            let (Some(failure), Some(message)) = (failure, rest.get(delivered)) else { return Ok(()) };
            renewals = if delivered > 0 { 1 } else { renewals + 1 };
            let failed = |source| PublishError { acknowledged, source };
            let batch_bytes = match &failure {
                Failure::Undelivered(error) => size::next_batch_bytes(error, message, current.batch_bytes),
                _ => current.batch_bytes,
            };
            let is_in_smaller_pieces = batch_bytes < current.batch_bytes;
            let goes_without_time = match &failure {
                Failure::Undelivered(error) => self.clocks.doubts(error, &message.topic),
                _ => false,
            };
            if !matches!(&failure, Failure::AtHand(error) if !is_anothers(error)) {
                self.renew(current, batch_bytes).await.map_err(failed)?;
            }
            match failure {
                _ if is_in_smaller_pieces => {}
                _ if goes_without_time && renewals <= RENEWALS_MAX => {}
                Failure::AtHand(error) | Failure::Undelivered(error) => {
                    let passes = is_passing(&error);
                    if passes {
                        // The partition is on its way to another broker, or was deleted with its topic.
                        self.known.forget(&message.topic);
                        self.check_topics(vec![message.topic.clone()]).await.map_err(failed)?;
                    }
                    if !(passes || is_anothers(&error)) || renewals > RENEWALS_MAX {
                        return Err(failed(self.explain(&error, message)));
                    }
                }
                Failure::Refused(source) => {
                    self.reasons.forget(); // the next attempt is judged by what comes of it
                    return Err(failed(source));
                }
            }
        }
    }

    /// Waits for all that was sent, and counts it.
    async fn deliveries(
        &self,
        sent: &mut VecDeque<DeliveryFuture>,
        delivered: &mut usize,
    ) -> Result<(), Failure> {
        while !sent.is_empty() {
            self.delivery(sent).await?;
            *delivered += 1;
        }
        Ok(())
    }

    /// Sends these and waits for them; how many from the first are acknowledged, and why the next one is not.
    async fn deliver(
        &self,
        producer: &FutureProducer<Reasons>,
        messages: &[Message],
    ) -> (usize, Option<Failure>) {
        let mut sent: VecDeque<DeliveryFuture> = VecDeque::with_capacity(messages.len());
        let mut delivered = 0;
        let mut unsent = None;
        'messages: for message in messages {
            let alone = is_to_go_alone(message);
            if alone && let Err(failure) = self.deliveries(&mut sent, &mut delivered).await {
                return (delivered, Some(failure));
            }
            loop {
                match self.send(producer, message) {
                    Ok(delivery) => {
                        sent.push_back(delivery);
                        break;
                    }
                    // The queue is full: wait for the oldest, then go on. Nothing is sent out of turn.
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) if !sent.is_empty() => {
                        if let Err(failure) = self.delivery(&mut sent).await {
                            return (delivered, Some(failure));
                        }
                        delivered += 1;
                    }
                    // Full of others' messages.
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                        if let Some(refusal) = self.reasons.refusal() {
                            return (delivered, Some(Failure::Refused(refusal)));
                        }
                        tokio::time::sleep(QUEUE_FULL_WAIT).await;
                    }
                    Err(error) => {
                        unsent = Some(Failure::AtHand(error));
                        break 'messages;
                    }
                }
            }
            if alone && let Err(failure) = self.deliveries(&mut sent, &mut delivered).await {
                return (delivered, Some(failure));
            }
        }
        match self.deliveries(&mut sent, &mut delivered).await {
            Ok(()) => (delivered, unsent),
            Err(failure) => (delivered, Some(failure)),
        }
    }

    /// Waits for the oldest message.
    async fn delivery(&self, sent: &mut VecDeque<DeliveryFuture>) -> Result<(), Failure> {
        let Some(mut delivery) = sent.pop_front() else { return Ok(()) };
        loop {
            match tokio::time::timeout(LOOK_FOR_REFUSAL, &mut delivery).await {
                Ok(Ok(Ok(_))) => {
                    return Ok(());
                }
                Ok(Ok(Err((error, _)))) => return Err(Failure::Undelivered(error)),
                Ok(Err(_)) => return Err(Failure::Undelivered(KafkaError::Canceled)),
                Err(_) => {
                    if let Some(refusal) = self.reasons.refusal() {
                        return Err(Failure::Refused(refusal));
                    }
                }
            }
        }
    }

    fn send(
        &self,
        producer: &FutureProducer<Reasons>,
        message: &Message,
    ) -> Result<DeliveryFuture, KafkaError> {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in message.headers.iter() {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&message.topic).headers(headers);
        record.timestamp = self.clocks.time_of(message);
        (record.key, record.payload) = (message.key.as_deref(), message.value.as_deref());
        producer.send_result(record).map_err(|(error, _)| error)
    }

    fn explain(&self, error: &KafkaError, message: &Message) -> BrokerError {
        use RDKafkaErrorCode::{
            MessageSizeTooLarge, TopicAuthorizationFailed, UnknownPartition, UnknownTopic,
            UnknownTopicOrPartition,
        };
        let topic = message.topic.clone();
        match error.rdkafka_error_code() {
            Some(MessageSizeTooLarge) => size::too_large(message),
            Some(UnknownTopic | UnknownPartition | UnknownTopicOrPartition) => {
                self.known.forget(&topic);
                BrokerError::UnknownTopic { topic }
            }
            Some(TopicAuthorizationFailed) => {
                self.known.forget(&topic);
                known::forbidden(&topic)
            }
            _ => {
                let key = message.key_text();
                BrokerError::Engine(format!(
                    "Kafka: a message for {topic}, key {key:?}, was not published: {error}"
                ))
            }
        }
    }

    /// Puts a new producer in the place of one that is used up, unless somebody did.
    async fn renew(&self, used: Current, batch_bytes: usize) -> Result<(), BrokerError> {
        {
            let mut current = self.current();
            if current.generation == used.generation {
                let producer = produce(&self.config, &self.reasons, batch_bytes)?;
                *current = Current { producer, generation: used.generation + 1, batch_bytes };
                tracing::warn!(generation = current.generation, batch_bytes, "a new producer goes on");
            }
        }
        let purged = tokio::task::spawn_blocking(move || {
            used.producer.purge(PurgeConfig::default().queue().inflight());
        });
        purged.await.map_err(|error| BrokerError::Engine(error.to_string()))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn produce(
    config: &ClientConfig,
    reasons: &Reasons,
    batch_bytes: usize,
) -> Result<FutureProducer<Reasons>, BrokerError> {
    let mut config = config.clone();
    config.set("batch.size", batch_bytes.to_string());
    config.create_with_context(reasons.clone()).map_err(|error| refused(&error))
}

/// The producer ended because of another message: this one may go through with the next.
fn is_anothers(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fatal, GaplessGuarantee, OutOfOrderSequenceNumber, PurgeInflight, PurgeQueue};
    let code = error.rdkafka_error_code();
    matches!(error, KafkaError::Canceled)
        || matches!(
            code,
            Some(Fatal | GaplessGuarantee | OutOfOrderSequenceNumber | PurgeInflight | PurgeQueue)
        )
}
