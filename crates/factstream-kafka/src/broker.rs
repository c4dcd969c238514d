//! The broker: the port's verbs.

use crate::cluster::{self, Admin};
use crate::config::{self, Reasons, refused};
use crate::made_again::MadeAgain;
use crate::onlookers::Onlookers;
use crate::publish::Publisher;
use crate::reset;
use crate::subscription::{KafkaSubscription, Presence};
use crate::{lag, members, standing};
use async_trait::async_trait;
use factstream_core::broker::{
    Bounds, Broker, BrokerError, Committer, Lag, Member, Partition, PublishError, Stored, Subscription, Topic,
};
use factstream_core::message::Message;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::fmt;
use std::sync::Arc;

/// A broker on an Apache Kafka cluster. Cheap to clone.
#[derive(Clone)]
pub struct KafkaBroker {
    settings: ClientConfig,
    publisher: Arc<Publisher>,
    onlookers: Arc<Onlookers>,
    admin: Admin,
    presence: Presence,
    made_again: MadeAgain,
    committer: Option<Committer>,
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBroker").finish_non_exhaustive()
    }
}

impl KafkaBroker {
    /// The cluster that a URL names: `kafka://host:9092?linger.ms=5`.
    ///
    /// # Errors
    /// [`BrokerError::Url`], or a setting that librdkafka refuses. The cluster is not asked for yet.
    pub fn open_url(url: &str) -> Result<Self, BrokerError> {
        Self::open_url_as(url, "factstream")
    }

    /// As [`KafkaBroker::open_url`]; its clients are called `client` in the cluster, unless the URL has a `client.id`.
    ///
    /// # Errors
    /// As [`KafkaBroker::open_url`].
    pub fn open_url_as(url: &str, client: &str) -> Result<Self, BrokerError> {
        let settings = config::of_url(url, client)?;
        let publisher = Arc::new(Publisher::new(&config::producer(&settings))?);
        let onlookers = Arc::new(Onlookers::new(settings.clone()));
        let admin = config::admin(&settings);
        let admin = admin.create_with_context(Reasons::of(&admin)).map_err(|error| refused(&error))?;
        let admin = Arc::new(admin);
        let (presence, made_again) = (Presence::default(), MadeAgain::default());
        Ok(Self { settings, publisher, onlookers, admin, presence, made_again, committer: None })
    }

    /// The system that this broker works for. Every offset that it commits says so, and a group whose offsets another store has
    /// committed is refused.
    pub fn for_system(mut self, committer: Committer) -> Self {
        self.committer = Some(committer);
        self
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    async fn declare(&self, topics: &[Topic]) -> Result<(), BrokerError> {
        let mut missing = Vec::new();
        for topic in topics {
            match self.publisher.check_topics(vec![topic.name.clone()]).await {
                Err(BrokerError::UnknownTopic { .. }) => missing.push(topic.clone()),
                found => found?,
            }
        }
        if missing.is_empty() {
            return Ok(()); // so that whoever may not make topics can run where they were made beforehand
        }
        cluster::create(self.admin(), &missing).await?;
        self.publisher.wait_for_topics(missing.into_iter().map(|topic| topic.name).collect()).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError> {
        self.publisher.publish(batch).await
    }

    async fn cluster(&self) -> Result<String, BrokerError> {
        // No answer is no error code here: the one that the client was told last is explained.
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let id =
            self.publisher.ask(move |client, wait| client.fetch_cluster_id(wait).ok_or(timed_out.clone()));
        Ok(format!("kafka:{}", id.await?))
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        let ours = self.committer.as_ref();
        // Before it joins: a member that is refused must not take partitions from the system whose group it is.
        standing::refuse_other_system(&self.onlookers, group, topics, ours).await?;
        let (config, present) = (config::consumer(&self.settings, group), self.presence.enter());
        let made_again = self.made_again.clone();
        Ok(Box::new(KafkaSubscription::join(&config, group, topics, stored, ours, made_again, present)?))
    }

    async fn check_group(
        &self,
        group: &str,
        topics: &[String],
        stored: &[Stored],
    ) -> Result<(), BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        standing::refuse_other_system(&self.onlookers, group, topics, self.committer.as_ref()).await?;
        standing::check_places(&self.onlookers, group, topics, stored, self.made_again.clone()).await
    }

    async fn bounds(&self, topics: &[String]) -> Result<Vec<(Partition, Bounds)>, BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        reset::bounds(&self.onlookers, topics).await
    }

    async fn reset(&self, group: &str, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        reset::reset(&self.onlookers, group, next, self.committer.as_ref()).await
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        lag::of(&self.onlookers, group, topics).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.publisher.ping().await
    }

    async fn until_left(&self) {
        self.presence.until_nobody().await;
    }

    async fn members(&self, group: &str) -> Result<Vec<Member>, BrokerError> {
        members::of(&self.onlookers, group).await
    }
}
