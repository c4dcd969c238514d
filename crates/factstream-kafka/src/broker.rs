//! The broker: the port's verbs.

use crate::config::{self, reason::Reasons};
use crate::lag::Lags;
use crate::members;
use crate::publish::Publisher;
use crate::subscription::KafkaSubscription;
use crate::topics::{self, Admin};
use async_trait::async_trait;
use factstream_core::broker::{Broker, BrokerError, Lag, Member, PublishError, Subscription, Topic};
use factstream_core::message::Message;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use std::sync::Arc;
use std::time::Duration;

/// How long the cluster may take to answer what is not publishing or polling.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// A broker on an Apache Kafka cluster. Cheap to clone.
#[derive(Clone)]
pub struct KafkaBroker {
    settings: ClientConfig,
    publisher: Arc<Publisher>,
    lags: Arc<Lags>,
    admin: Admin,
}

impl KafkaBroker {
    /// The cluster that a URL names: `kafka://host:9092?linger.ms=5`.
    ///
    /// # Errors
    /// [`BrokerError::Url`], or a setting that librdkafka refuses. The cluster is not asked for yet.
    pub fn open_url(url: &str) -> Result<Self, BrokerError> {
        let settings = config::of_url(url)?;
        let publisher = Arc::new(Publisher::new(&config::producer(&settings))?);
        let lags = Arc::new(Lags::new(settings.clone()));
        let admin = settings.create_with_context(Reasons::of(&settings)).map_err(|error| failed(&error))?;
        let admin = Arc::new(admin);
        Ok(Self { settings, publisher, lags, admin })
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) async fn wait_for_topics(&self, topics: Vec<String>) -> Result<(), BrokerError> {
        self.publisher.wait_for_topics(topics).await
    }
}

/// What librdkafka reports.
pub(crate) fn failed(error: &rdkafka::error::KafkaError) -> BrokerError {
    BrokerError::Engine(format!("Kafka: {error}"))
}

/// Nobody has joined a group yet, or it is on its way from one broker to another: it passes.
pub(crate) fn has_no_coordinator(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(code, NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress)
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
        topics::create(self.admin(), &missing).await?;
        self.wait_for_topics(missing.into_iter().map(|topic| topic.name).collect()).await
    }

    async fn publish(&self, batch: Vec<Message>) -> Result<(), PublishError> {
        self.publisher.publish(batch).await
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Subscription>, BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        Ok(Box::new(KafkaSubscription::join(&config::consumer(&self.settings, group), topics)?))
    }

    async fn lag(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
        self.publisher.check_topics(topics.to_vec()).await?;
        self.lags.of(group, topics).await
    }

    async fn members(&self, group: &str) -> Result<Vec<Member>, BrokerError> {
        members::of(self.admin(), group).await
    }
}
