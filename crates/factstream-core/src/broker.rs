//! The port to a broker: topics with partitions, and groups that read them.
//!
//! Nothing is in flight between two calls of [`Subscription::poll`]: the processor handles and commits a batch before
//! it polls again. So a broker moves partitions between members inside `poll` only, and no drain protocol is needed.

mod committer;
mod namespace;

use crate::message::{Message, Record};
pub use crate::partition::Partition;
use async_trait::async_trait;
pub use committer::Committer;
use jiff::Timestamp;
pub use namespace::Namespace;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many bytes of records one poll answers with, but for its last record: of large records fewer are given at once (G13).
pub const POLL_BYTES_MAX: usize = 8 * 1024 * 1024;

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

    /// Which cluster this is. Offsets mean something in one cluster only, so whoever keeps them keeps this name with them.
    async fn cluster(&self) -> Result<String, BrokerError>;

    /// Joins a group that reads these topics.
    ///
    /// In each partition the group goes on at its committed offset. Where the broker has none, because it forgets those of
    /// a group that was away for long, it goes on at the one in `stored`: the next offsets that the group's owner keeps with
    /// its effects. Where there is neither, it starts at the oldest record. A group whose next offset is not in the partition
    /// is given nothing: its polls fail with [`BrokerError::OffsetGone`] or [`BrokerError::OffsetBeyondEnd`]. One whose offsets
    /// another system has committed is refused with [`BrokerError::OtherSystem`], here or by a poll.
    async fn subscribe(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Whether a group could go on in these topics, asked without joining it: fails as its polls would. Whoever has halted asks
    /// this, and so disturbs nobody. Brokers that cannot tell say yes.
    async fn check_group(
        &self,
        _group: &str,
        _topics: &[String],
        _stored: &[Stored],
    ) -> Result<(), BrokerError> {
        Ok(())
    }

    /// How far a group is behind in these topics, over all partitions, whoever reads them.
    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError>;

    /// Whether the broker answers at all, for the status. One that lives in the store answers as the store does.
    async fn ping(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Where each partition of these topics begins and ends.
    async fn bounds(&self, topics: &[String]) -> Result<Vec<(Partition, Bounds)>, BrokerError>;

    /// Sets where a group goes on in these partitions, whatever it had committed. Refused while the group has members, where
    /// the broker assigns partitions to them.
    async fn reset(&self, group: &str, next: &[(Partition, i64)]) -> Result<(), BrokerError>;

    /// Waits until no subscription of this handle is in its group any more, all of which were dropped. Whoever then takes over
    /// is given the partitions at once; a member that ends with its process before that holds them until its session runs out.
    ///
    /// It may take as long as the broker does to answer: bound it.
    async fn until_left(&self) {}

    /// The members of a group, where the broker assigns partitions to them. Not where a group has one owner by a lease.
    async fn members(&self, _group: &str) -> Result<Vec<Member>, BrokerError> {
        Ok(Vec::new())
    }
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of its oldest record; of an empty one, its end.
    pub start: i64,
    /// The offset that its next record will have.
    pub end: i64,
}

/// Where a group's owner has come in a partition, as it keeps that with its effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The partition.
    pub partition: Partition,
    /// The offset of the next record to read.
    pub next: i64,
    /// The newest time of a record that was read there, where it is known. A partition that has a newer record before `next` is one
    /// of a topic that was made again, and is read from its beginning.
    pub newest: Option<Timestamp>,
}

impl BrokerError {
    /// Whether trying again is of no use: a person has to decide where the group goes on, or which system it belongs to.
    pub fn halts(&self) -> bool {
        matches!(self, Self::OffsetGone { .. } | Self::OffsetBeyondEnd { .. } | Self::OtherSystem { .. })
    }
}

impl From<(Partition, i64)> for Stored {
    fn from((partition, next): (Partition, i64)) -> Self {
        Self { partition, next, newest: None }
    }
}

/// One member of a group. Dropping it begins to leave the group; [`Broker::until_left`] waits for the end of that.
#[async_trait]
pub trait Subscription: Send {
    /// The next records of the assigned partitions, in order within each, at most `records_max`, and at most [`POLL_BYTES_MAX`]
    /// bytes of them.
    ///
    /// Empty when nothing came within `wait`. Everything polled before counts as handled or given up: what was not
    /// committed may come again, here or at another member.
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError>;

    /// Takes records back that were polled last and not handled, in their order: the next poll begins with them, or, where their
    /// partition went meanwhile, whoever has it is given them. By polling again, a member shows that it lives.
    async fn give_back(&mut self, records: Vec<Record>) -> Result<(), BrokerError>;

    /// Commits progress: for each partition, the offset of the next record to read.
    ///
    /// It may still be on its way when this returns. An engine makes sure of it while it is polled, and an error that it meets
    /// then is the poll's; what did not arrive comes again.
    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError>;
}

/// A topic to be declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it gets when it is new, at least 1.
    pub partitions: u32,
    /// On how many brokers each partition is kept; `None` is the cluster's default. The embedded broker has one.
    pub replication: Option<u16>,
    /// Settings by the names that Kafka gives them: `retention.ms`, `cleanup.policy`, `max.message.bytes`, .. The
    /// embedded broker has none of them.
    pub settings: BTreeMap<String, String>,
}

impl Topic {
    /// A topic with the broker's default settings.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self { name: name.into(), partitions, replication: None, settings: BTreeMap::new() }
    }

    /// On how many brokers each partition is kept.
    pub fn replication(mut self, brokers: u16) -> Self {
        self.replication = Some(brokers);
        self
    }

    /// A setting by Kafka's name for it.
    ///
    /// ```
    /// # use factstream_core::broker::Topic;
    /// let topic = Topic::new("orders.events", 6).replication(3).setting("retention.ms", 7 * 24 * 3_600 * 1_000);
    /// assert_eq!(topic.settings["retention.ms"], "604800000");
    /// ```
    pub fn setting(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.settings.insert(name.into(), value.to_string());
        self
    }
}

/// How far a group is behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lag {
    /// Records that are not committed yet.
    pub events: u64,
    /// When the oldest of them was published, where the broker knows.
    pub oldest: Option<Timestamp>,
    /// Records that retention had deleted before the group began, where the broker knows.
    pub missed: u64,
    /// Who has committed the group's offsets, where the offsets say so.
    pub committers: Vec<Committer>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Member {
    /// What it calls itself.
    pub name: String,
    /// Where it is.
    pub host: String,
    /// The partitions that it is assigned.
    pub partitions: Vec<Partition>,
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
#[non_exhaustive]
pub enum BrokerError {
    /// The address does not name a broker.
    #[error("the broker's URL {url:?} cannot be used: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// A name that a topic or a namespace cannot have.
    #[error("the name {name:?} cannot be used: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why, and what it may be.
        reason: String,
    },
    /// A topic that does not exist.
    #[error("topic {topic} does not exist; declare it before publishing or subscribing")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The records after the group's next offset were deleted (retention). Halts loudly, never skips.
    #[error(
        "{partition}: {} records were deleted unread: the group's next offset is {committed}, the oldest record left is \
         {oldest}; restore them, or set where the group goes on (handlers reset)", .oldest - .committed
    )]
    OffsetGone {
        /// The partition.
        partition: Partition,
        /// The group's next offset, as committed, or as stored where none is committed.
        committed: i64,
        /// The oldest offset that is left.
        oldest: i64,
    },
    /// The group's next offset lies beyond the end of the partition. Halts loudly: what is there now was never read.
    #[error(
        "{partition}: the group's next offset is {next}, but the partition ends at {end}: the topic was deleted and made \
         again, or it lost records; nothing is read until you set where the group goes on (handlers reset)"
    )]
    OffsetBeyondEnd {
        /// The partition.
        partition: Partition,
        /// The group's next offset, as committed, or as stored where none is committed.
        next: i64,
        /// Where the partition ends: the offset of the next record that is published.
        end: i64,
    },
    /// The group's offsets were committed by another system: both would handle a part of the events only. Halts loudly.
    #[error(
        "the group {group} is another system's: its offsets were committed by {theirs}, and this is {ours}; each would handle a \
         part of the events only. Give each system a namespace of its own for its topics and groups (--namespace, \
         Builder::namespace); where the other one is gone for good, take the group over by setting where it goes on (handlers \
         reset)"
    )]
    OtherSystem {
        /// The group.
        group: String,
        /// Who committed its offsets.
        theirs: Committer,
        /// Who would join it.
        ours: Committer,
    },
    /// A message that this broker never takes as it is, however often it is sent (it is too large); others go through.
    #[error("{0}")]
    Unfit(String),
    /// The store behind an embedded broker.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Anything else that the engine reports; may be tried again.
    #[error("{0}")]
    Engine(String),
}
