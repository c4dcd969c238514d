//! The broker: the port's verbs.

use crate::config;
use crate::lag::Lags;
use crate::publish::Publisher;
use crate::subscription::KafkaSubscription;
use async_trait::async_trait;
use factstream_core::broker::{Broker, BrokerError, Lag, PublishError, Subscription, Topic};
use factstream_core::message::Message;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
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
        Ok(Self { settings, publisher, lags })
    }
}

/// What librdkafka reports.
pub(crate) fn failed(error: &rdkafka::error::KafkaError) -> BrokerError {
    BrokerError::Engine(format!("Kafka: {error}"))
}

#[async_trait]
impl Broker for KafkaBroker {
    async fn declare(&self, topics: &[Topic]) -> Result<(), BrokerError> {
        if topics.is_empty() {
            return Ok(());
        }
        let admin: AdminClient<DefaultClientContext> =
            self.settings.create().map_err(|error| failed(&error))?;
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let partitions = i32::try_from(topic.partitions.max(1)).unwrap_or(i32::MAX);
                NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(-1)) // the cluster's default
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
        let made = admin.create_topics(&new, &options).await.map_err(|error| failed(&error))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(BrokerError::Engine(format!("topic {topic} cannot be made: {code}")));
                }
            }
        }
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        self.publisher.wait_for_topics(names).await
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
}
