//! Which topics exist: asked for once, remembered until one turns out to be gone.

use super::Publisher;
use crate::config::{ANSWER, Reasons};
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

/// How the cluster keeps a topic.
pub(crate) struct Layout {
    pub(crate) partitions: u32,
    /// On how many brokers its partitions are; the least of them.
    pub(crate) replication: u16,
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
                        return Err(leaderless(&topic));
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

    /// How the cluster keeps a topic; `None` when it has none by that name.
    pub(crate) async fn layout(&self, topic: &str) -> Result<Option<Layout>, BrokerError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            if topic.contains('\0') {
                return Ok(None);
            }
            let name = topic.to_owned();
            let asked = self.ask(move |client, wait| {
                let metadata = client.fetch_metadata(Some(&name), wait)?;
                let found = metadata.topics().first();
                Ok((found.map_or(Ok(State::Missing), state), found.and_then(layout)))
            });
            let (state, layout) = asked.await?;
            match (state?, layout) {
                (State::Missing, _) => return Ok(None),
                (_, Some(layout)) => return Ok(Some(layout)),
                _ if Instant::now() >= deadline => return Err(leaderless(topic)),
                _ => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
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

fn layout(topic: &MetadataTopic) -> Option<Layout> {
    let partitions = topic.partitions();
    let replication = partitions.iter().map(|partition| partition.replicas().len()).min()?;
    Some(Layout {
        partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
        replication: u16::try_from(replication).unwrap_or(u16::MAX),
    })
}

fn leaderless(topic: &str) -> BrokerError {
    BrokerError::Engine(format!("topic {topic}: a partition has no leader; check that its brokers run"))
}

pub(super) fn forbidden(topic: &str) -> BrokerError {
    BrokerError::Engine(format!(
        "topic {topic}: this user may not use it; grant it Describe, and Write to publish or Read to subscribe"
    ))
}
