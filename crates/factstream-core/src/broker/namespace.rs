//! A namespace: what stands before every topic and every group of a system, so that two systems on one cluster stay apart.
//!
//! Invariant: outside the broker nobody knows of it. Names get it on their way in and lose it on their way out, so records,
//! dead letters and stored offsets have the names that the code has, and so has an error that names a topic.

use super::{Bounds, Broker, BrokerError, Lag, Member, PublishError, Stored, Subscription, Topic};
use crate::message::{Message, Record};
use crate::partition::Partition;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a topic, in bytes: Kafka's limit.
const TOPIC_BYTES_MAX: usize = 249;

/// What stands before every topic and every group: `eu.` makes `eu.orders.events` of `orders.events`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace(String);

impl Namespace {
    /// No namespace: names stay as they are.
    pub const NONE: Self = Self(String::new());

    /// A namespace. It stands before the names as it is: end it with a dot, a dash or an underscore. Empty is none.
    ///
    /// # Errors
    /// [`BrokerError::Name`] when it has characters that a topic of Kafka may not have, or is too long to stand before one.
    ///
    /// ```
    /// use factstream_core::broker::{Namespace, Stored, Topic};
    /// let eu = Namespace::new("eu.").unwrap();
    /// assert_eq!(eu.topic(Topic::new("orders.events", 6)).unwrap().name, "eu.orders.events");
    /// assert!(Namespace::new("eu/").is_err());
    /// ```
    pub fn new(prefix: impl Into<String>) -> Result<Self, BrokerError> {
        let prefix = prefix.into();
        match has_plain_characters(&prefix) && prefix.len() < TOPIC_BYTES_MAX {
            true => Ok(Self(prefix)),
            false => Err(BrokerError::Name {
                name: shown(&prefix),
                reason: format!(
                    "a namespace is letters, digits, dots, underscores and dashes, fewer than {TOPIC_BYTES_MAX}"
                ),
            }),
        }
    }

    /// What it is, as it stands before the names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// A topic as the cluster knows it.
    ///
    /// # Errors
    /// [`BrokerError::Name`] when the whole name is none that Kafka allows.
    pub fn topic(&self, topic: Topic) -> Result<Topic, BrokerError> {
        let name = self.whole(&topic.name);
        if name.len() <= TOPIC_BYTES_MAX
            && has_plain_characters(&name)
            && !["", ".", ".."].contains(&name.as_str())
        {
            return Ok(Topic { name, ..topic });
        }
        let reason = format!(
            "a topic's name is letters, digits, dots, underscores and dashes, at most {TOPIC_BYTES_MAX} with its namespace, \
             and has {}",
            name.len()
        );
        Err(BrokerError::Name { name: shown(&name), reason })
    }

    /// The broker as a system in this namespace knows it.
    pub fn within(self, broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
        if self.is_none() { broker } else { Arc::new(Namespaced { namespace: self, broker }) }
    }

    /// What a topic or a group of this name is called in the broker.
    pub fn whole(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    fn all(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.whole(name)).collect()
    }

    fn places(&self, places: &[(Partition, i64)]) -> Vec<(Partition, i64)> {
        let whole = |partition: &Partition| Partition { topic: self.whole(&partition.topic), ..*partition };
        places.iter().map(|(partition, offset)| (whole(partition), *offset)).collect()
    }

    fn stored(&self, stored: &[Stored]) -> Vec<Stored> {
        let whole = |partition: &Partition| Partition { topic: self.whole(&partition.topic), ..*partition };
        stored.iter().map(|stored| Stored { partition: whole(&stored.partition), ..stored.clone() }).collect()
    }

    /// An error with the topic as the code knows it.
    fn strip_error(&self, mut error: BrokerError) -> BrokerError {
        match &mut error {
            BrokerError::UnknownTopic { topic } => self.strip(topic),
            BrokerError::OffsetGone { partition, .. } | BrokerError::OffsetBeyondEnd { partition, .. } => {
                self.strip(&mut partition.topic);
            }
            BrokerError::OtherSystem { group, .. } => self.strip(group),
            _ => {}
        }
        error
    }

    /// Takes itself off a name that came from the cluster.
    fn strip(&self, name: &mut String) {
        if name.starts_with(&self.0) {
            name.drain(..self.0.len());
        }
    }
}

fn has_plain_characters(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The beginning of a name that may be anything.
fn shown(name: &str) -> String {
    let end = name.floor_char_boundary(TOPIC_BYTES_MAX + 1);
    if end < name.len() { format!("{} ..", &name[..end]) } else { name.to_owned() }
}

struct Namespaced {
    namespace: Namespace,
    broker: Arc<dyn Broker>,
}

impl Namespaced {
    fn told<T>(&self, answer: Result<T, BrokerError>) -> Result<T, BrokerError> {
        answer.map_err(|error| self.namespace.strip_error(error))
    }
}

#[async_trait]
impl Broker for Namespaced {
    async fn declare(&self, topics: &[Topic]) -> Result<(), BrokerError> {
        let topics: Result<Vec<Topic>, _> =
            topics.iter().map(|topic| self.namespace.topic(topic.clone())).collect();
        self.told(self.broker.declare(&topics?).await)
    }

    async fn publish(&self, mut batch: Vec<Message>) -> Result<(), PublishError> {
        for message in &mut batch {
            message.topic.insert_str(0, &self.namespace.0);
        }
        let published = self.broker.publish(batch).await;
        published.map_err(|error| PublishError { source: self.namespace.strip_error(error.source), ..error })
    }

    /// Another namespace is another set of topics: offsets of one mean nothing in the other.
    async fn cluster(&self) -> Result<String, BrokerError> {
        Ok(format!("{}/{}", self.broker.cluster().await?, self.namespace.0))
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        let (group, topics) = (self.namespace.whole(group), self.namespace.all(topics));
        let joined = self.broker.subscribe(&group, &topics, &self.namespace.stored(stored)).await;
        let subscription = self.told(joined)?;
        Ok(Box::new(Joined { namespace: self.namespace.clone(), subscription }))
    }

    async fn check_group(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<(), BrokerError> {
        let (group, topics) = (self.namespace.whole(group), self.namespace.all(topics));
        self.told(self.broker.check_group(&group, &topics, &self.namespace.stored(stored)).await)
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
        self.told(self.broker.lag(&self.namespace.whole(group), &self.namespace.all(topics)).await)
    }

    async fn bounds(&self, topics: &[String]) -> Result<Vec<(Partition, Bounds)>, BrokerError> {
        let mut bounds = self.told(self.broker.bounds(&self.namespace.all(topics)).await)?;
        for (partition, _) in &mut bounds {
            self.namespace.strip(&mut partition.topic);
        }
        Ok(bounds)
    }

    async fn reset(&self, group: &str, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let group = self.namespace.whole(group);
        self.told(self.broker.reset(&group, &self.namespace.places(next)).await)
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.broker.ping().await
    }

    async fn until_left(&self) {
        self.broker.until_left().await;
    }

    async fn members(&self, group: &str) -> Result<Vec<Member>, BrokerError> {
        let mut members = self.told(self.broker.members(&self.namespace.whole(group)).await)?;
        for partition in members.iter_mut().flat_map(|member| &mut member.partitions) {
            self.namespace.strip(&mut partition.topic);
        }
        Ok(members)
    }
}

/// A member of a group in a namespace.
struct Joined {
    namespace: Namespace,
    subscription: Box<dyn Subscription>,
}

#[async_trait]
impl Subscription for Joined {
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError> {
        let polled = self.subscription.poll(records_max, wait).await;
        let mut records = polled.map_err(|error| self.namespace.strip_error(error))?;
        for record in &mut records {
            self.namespace.strip(&mut record.partition.topic);
        }
        Ok(records)
    }

    async fn give_back(&mut self, mut records: Vec<Record>) -> Result<(), BrokerError> {
        for record in &mut records {
            record.partition.topic = self.namespace.whole(&record.partition.topic);
        }
        let given = self.subscription.give_back(records).await;
        given.map_err(|error| self.namespace.strip_error(error))
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let committed = self.subscription.commit(&self.namespace.places(next)).await;
        committed.map_err(|error| self.namespace.strip_error(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_kafka_does_not_take_is_refused_with_its_length() {
        let eu = Namespace::new("eu.").unwrap();
        let longest = "t".repeat(TOPIC_BYTES_MAX - 3);
        assert_eq!(eu.topic(Topic::new(&longest, 1)).unwrap().name.len(), TOPIC_BYTES_MAX);
        let told = eu.topic(Topic::new(format!("{longest}t"), 1)).unwrap_err().to_string();
        assert!(told.contains("at most 249") && told.contains("has 250"), "{told}");
        assert!(
            eu.topic(Topic::new("a b", 1)).is_err()
                && Namespace::new(".").unwrap().topic(Topic::new(".", 1)).is_err()
        );
        for wrong in ["eu/", "eu ", "ü", "a\0", &"x".repeat(TOPIC_BYTES_MAX)] {
            let told = Namespace::new(wrong).unwrap_err().to_string();
            assert!(told.contains("a namespace is letters"), "{told}");
        }
        assert!(Namespace::new("").unwrap().is_none());
    }

    #[test]
    fn only_its_own_beginning_is_taken_off() {
        let eu = Namespace::new("eu.").unwrap();
        for (whole, stripped) in [("eu.eu.events", "eu.events"), ("us.events", "us.events")] {
            let mut name = whole.to_owned();
            eu.strip(&mut name);
            assert_eq!(name, stripped);
        }
    }
}
