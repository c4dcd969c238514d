//! Publishing in order: an idempotent producer, every message sent before the first is waited for.

use crate::broker::{ANSWER, failed};
use factstream_core::broker::{BrokerError, PublishError};
use factstream_core::message::Message;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub(crate) struct Publisher {
    producer: FutureProducer,
    /// Topics that are known to exist.
    known: Mutex<HashSet<String>>,
}

impl Publisher {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, BrokerError> {
        let producer = config.create().map_err(|error| failed(&error))?;
        Ok(Self { producer, known: Mutex::default() })
    }

    /// Publishes in order; an error says how many from the first are durable for certain.
    pub(crate) async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError> {
        let topics: HashSet<String> = batch.iter().map(|message| message.topic.clone()).collect();
        let nothing = |source| PublishError { acknowledged: 0, source };
        self.check_topics(topics.into_iter().collect()).await.map_err(nothing)?;
        let mut sent: VecDeque<DeliveryFuture> = VecDeque::with_capacity(batch.len());
        let mut acknowledged = 0;
        for message in &batch {
            loop {
                match self.send(message) {
                    Ok(delivery) => {
                        sent.push_back(delivery);
                        break;
                    }
                    // The queue is full: wait for the oldest, then go on. Nothing is sent out of turn.
                    Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) if !sent.is_empty() => {
                        acknowledged += delivered(&mut sent)
                            .await
                            .map_err(|source| PublishError { acknowledged, source })?;
                    }
                    Err(error) => {
                        let source = BrokerError::Engine(format!(
                            "a message for {} cannot be sent: {error}",
                            message.topic
                        ));
                        while let Some(delivery) = sent.pop_front() {
                            if !matches!(delivery.await, Ok(Ok(_))) {
                                break;
                            }
                            acknowledged += 1;
                        }
                        return Err(PublishError { acknowledged, source });
                    }
                }
            }
        }
        while !sent.is_empty() {
            acknowledged +=
                delivered(&mut sent).await.map_err(|source| PublishError { acknowledged, source })?;
        }
        Ok(())
    }

    fn send(&self, message: &Message) -> Result<DeliveryFuture, KafkaError> {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in &message.headers {
            headers = headers.insert(Header { key, value: Some(value.as_slice()) });
        }
        let record = FutureRecord::to(&message.topic)
            .key(message.key.as_bytes())
            .payload(message.value.as_slice())
            .headers(headers)
            .timestamp(message.timestamp.as_millisecond());
        self.producer.send_result(record).map_err(|(error, _)| error)
    }

    /// Refuses topics that do not exist.
    pub(crate) async fn check_topics(&self, topics: Vec<String>) -> Result<(), BrokerError> {
        for topic in topics {
            if !self.is_known(&topic) && !self.exists(topic.clone()).await? {
                return Err(BrokerError::UnknownTopic { topic });
            }
        }
        Ok(())
    }

    /// Waits until the cluster tells of topics that were just made.
    pub(crate) async fn wait_for_topics(&self, topics: Vec<String>) -> Result<(), BrokerError> {
        let deadline = Instant::now() + ANSWER;
        for topic in topics {
            while !self.is_known(&topic) && !self.exists(topic.clone()).await? {
                if Instant::now() >= deadline {
                    return Err(BrokerError::UnknownTopic { topic });
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn is_known(&self, topic: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(topic)
    }

    async fn exists(&self, topic: String) -> Result<bool, BrokerError> {
        let (producer, name) = (self.producer.clone(), topic.clone());
        let asked =
            tokio::task::spawn_blocking(move || producer.client().fetch_metadata(Some(&name), ANSWER)).await;
        let metadata =
            asked.map_err(|error| BrokerError::Engine(error.to_string()))?.map_err(|error| failed(&error))?;
        let ready = |partitions: &[rdkafka::metadata::MetadataPartition]| {
            !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
        };
        let exists =
            metadata.topics().iter().any(|found| found.error().is_none() && ready(found.partitions()));
        if exists {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(topic);
        }
        Ok(exists)
    }
}

/// Waits for the oldest message.
async fn delivered(sent: &mut VecDeque<DeliveryFuture>) -> Result<usize, BrokerError> {
    let Some(delivery) = sent.pop_front() else { return Ok(0) };
    match delivery.await {
        Ok(Ok(_)) => Ok(1),
        Ok(Err((error, _))) => Err(BrokerError::Engine(format!("a message was not published: {error}"))),
        Err(_) => Err(BrokerError::Engine("the producer is closed".into())),
    }
}
