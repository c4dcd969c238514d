//! Which topics exist: asked for once, remembered until one turns out to be gone.

use super::Publisher;
use crate::broker::ANSWER;
use crate::config::Reasons;
use factstream_core::broker::BrokerError;
use rdkafka::client::Client;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer;
use rdkafka::producer::future_producer::FutureProducerContext;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The pause before a topic that is being made or moved is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Known(Mutex<HashSet<String>>);

impl Known {
    pub(super) fn forget(&self, topic: &str) {
        self.topics().remove(topic);
    }

    fn topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the cluster tells of a topic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Missing,
    /// A partition has no leader.
    Leaderless,
}

impl Publisher {
    /// Refuses topics that do not exist.
    pub(crate) async fn check_topics(&self, topics: Vec<String>) -> Result<(), BrokerError> {
        self.wait_until_ready(topics, |state| state == State::Missing).await
    }

    /// Waits until the cluster tells of topics that were just made.
    pub(crate) async fn wait_for_topics(&self, topics: Vec<String>) -> Result<(), BrokerError> {
        self.wait_until_ready(topics, |_| false).await
    }

    async fn wait_until_ready(
        &self,
        topics: Vec<String>,
        is_final: impl Fn(State) -> bool,
    ) -> Result<(), BrokerError> {
        let deadline = Instant::now() + ANSWER;
        for topic in topics {
            if self.known.topics().contains(&topic) {
                continue;
            }
            // The client's interface ends a name there: it would ask about another topic.
            if topic.contains('\0') {
                return Err(BrokerError::UnknownTopic { topic });
            }
            loop {
                let state = self.state(topic.clone()).await?;
                let is_over = Instant::now() >= deadline;
                match state {
                    State::Ready => break,
                    State::Missing if is_final(state) || is_over => {
                        return Err(BrokerError::UnknownTopic { topic });
                    }
                    State::Leaderless if is_over => {
                        let text =
                            format!("topic {topic}: a partition has no leader; check that its brokers run");
                        return Err(BrokerError::Engine(text));
                    }
                    _ => tokio::time::sleep(ASK_AGAIN).await,
                }
            }
            self.known.topics().insert(topic);
        }
        Ok(())
    }

    async fn state(&self, topic: String) -> Result<State, BrokerError> {
        let metadata = self.ask(move |client, wait| client.fetch_metadata(Some(&topic), wait)).await?;
        metadata.topics().first().map_or(Ok(State::Missing), state)
    }

    /// Asks the cluster with the producer, whose thread serves what it tells of the reason of an error.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl Fn(&Client<FutureProducerContext<Reasons>>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let (producer, reasons) = (self.current().producer.clone(), self.reasons.clone());
        let asked = tokio::task::spawn_blocking(move || reasons.ask(|wait| ask(producer.client(), wait)));
        asked.await.map_err(|error| BrokerError::Engine(error.to_string()))?
    }
}

fn state(topic: &MetadataTopic) -> Result<State, BrokerError> {
    use RDKafkaErrorCode::{InvalidTopic, TopicAuthorizationFailed, UnknownTopic, UnknownTopicOrPartition};
    match topic.error().map(RDKafkaErrorCode::from) {
        None if topic.partitions().is_empty() => Ok(State::Missing),
        None if topic.partitions().iter().all(|partition| partition.leader() >= 0) => Ok(State::Ready),
        Some(InvalidTopic | UnknownTopic | UnknownTopicOrPartition) => Ok(State::Missing),
        Some(TopicAuthorizationFailed) => Err(forbidden(topic.name())),
        None | Some(_) => Ok(State::Leaderless),
    }
}

pub(super) fn forbidden(topic: &str) -> BrokerError {
    BrokerError::Engine(format!(
        "topic {topic}: this user may not use it; grant it Describe, and Write to publish or Read to subscribe"
    ))
}
