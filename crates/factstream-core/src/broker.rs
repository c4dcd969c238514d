//! The port to a broker: topics with partitions, and groups that read them.
//!
//! Nothing is in flight between two calls of [`Subscription::poll`]: the processor handles and commits a batch before
//! it polls again. So a broker moves partitions between members inside `poll` only, and no drain protocol is needed.

use crate::message::{Message, Record};
pub use crate::partition::Partition;
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;

/// A place that takes messages and hands them to groups (G5). What one engine (embedded, Apache Kafka) implements.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Makes sure that the topics exist. One that exists keeps its partitions.
    async fn declare(&self, topics: &[Topic]) -> Result<(), BrokerError>;

    /// Publishes in order; returns when all are durable.
    ///
    /// The relay calls it, one batch at a time. It calls again from the first message that is not acknowledged, so a
    /// message may be published twice, but never out of order within its key.
    async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError>;

    /// Joins a group that reads these topics. A new group starts at the oldest record.
    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Subscription>, BrokerError>;

    /// How far a group is behind in these topics, over all partitions, whoever reads them.
    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError>;
}

/// One member of a group. Dropping it leaves the group.
#[async_trait]
pub trait Subscription: Send {
    /// The next records of the assigned partitions, in order within each, at most `records_max`.
    ///
    /// Empty when nothing came within `wait`. Everything polled before counts as handled or given up: what was not
    /// committed may come again, here or at another member.
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError>;

    /// Commits progress: for each partition, the offset of the next record to read.
    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError>;
}

/// A topic to be declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it gets when it is new, at least 1.
    pub partitions: u32,
}

/// How far a group is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Records that are not committed yet.
    pub events: u64,
    /// When the oldest of them was published, where the broker knows.
    pub oldest: Option<Timestamp>,
}

/// A batch was not published whole.
#[derive(Debug, thiserror::Error)]
#[error("published {acknowledged} of the batch, then: {source}")]
pub struct PublishError {
    /// This many, from the first, are durable for certain.
    pub acknowledged: usize,
    /// What went wrong.
    pub source: BrokerError,
}

/// What can go wrong with a broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address does not name a broker.
    #[error("the broker's URL {url:?} cannot be used: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// A topic that does not exist.
    #[error("topic {topic} does not exist; declare it before publishing or subscribing")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The records after the group's committed offset are gone (retention). Halts loudly, never skips.
    #[error(
        "{partition}: the group is at offset {committed}, but the oldest record left is {oldest}: records were deleted unread; restore them or move the group on by hand"
    )]
    OffsetGone {
        /// The partition.
        partition: Partition,
        /// Where the group stands.
        committed: i64,
        /// What is left.
        oldest: i64,
    },
    /// The store behind an embedded broker.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Anything else that the engine reports; may be tried again.
    #[error("{0}")]
    Engine(String),
}
