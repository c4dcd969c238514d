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

/// How long the cluster may take to show that it is there; it then has a reason, where there is one, within the status's limit.
const PING: Duration = Duration::from_millis(300);

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

    /// Whether the cluster answers: asks about one topic that is known, for a cluster may have very many.
    pub(crate) async fn ping(&self) -> Result<(), BrokerError> {
        let topic = self.known.topics().iter().next().cloned();
        let ask = move |client: &Client<_>, wait| client.fetch_metadata(topic.as_deref(), wait);
        self.ask_within(PING, ask).await.map(drop)
    }

    /// Asks the cluster with the producer, whose thread serves what it tells of the reason of an error.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl Fn(&Client<FutureProducerContext<Reasons>>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        self.ask_within(ANSWER, ask).await
    }

    async fn ask_within<T: Send + 'static>(
        &self,
        patience: Duration,
        ask: impl Fn(&Client<FutureProducerContext<Reasons>>, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let (producer, reasons) = (self.current().producer.clone(), self.reasons.clone());
        let ask = move || reasons.ask_within(patience, |wait| ask(producer.client(), wait));
        let asked = tokio::task::spawn_blocking(ask);
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
