//! Topics as code: what is declared against what the cluster has.
//!
//! Invariants: nothing is ever deleted or made smaller. Partitions are added only when asked for by name, for then keys
//! move to other partitions, and the order of a key holds only for what is published after all before it was read.
//! Settings that were not declared stay as they are.

use crate::broker::{ANSWER, KafkaBroker};
use crate::config::reason::Reasons;
use factstream_core::broker::{BrokerError, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigResource, ConfigSource, NewPartitions,
    NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A client that asks and orders.
pub(crate) type Admin = Arc<AdminClient<Reasons>>;

/// Whose clock says a record's time, in a topic that we make and unless it is declared: the broker's. No process whose clock is
/// wrong can then stop publishing, or have records deleted before they are read.
const RECORD_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

/// One difference between what is declared and what the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The topic is missing.
    Create(Topic),
    /// It has fewer partitions than declared.
    AddPartitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: u32,
        /// How many are declared.
        declared: u32,
    },
    /// It has more partitions than declared. Never taken away.
    TooManyPartitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: u32,
        /// How many are declared.
        declared: u32,
    },
    /// It is kept on another number of brokers. Moving replicas is for the cluster's own tools.
    Replication {
        /// The topic.
        topic: String,
        /// On how many brokers it is.
        found: u16,
        /// On how many it is declared to be.
        declared: u16,
    },
    /// A setting has another value.
    Set {
        /// The topic.
        topic: String,
        /// The setting, by Kafka's name.
        name: String,
        /// Its value.
        found: Option<String>,
        /// The value declared.
        declared: String,
    },
}

/// What came of a [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is done.
    Done,
    /// Left alone, for it could break the order of keys or lose data: see [`Change`] for what to do.
    LeftAlone,
}

impl Change {
    /// The topic that it is about.
    pub fn topic(&self) -> &str {
        match self {
            Self::Create(topic) => &topic.name,
            Self::AddPartitions { topic, .. }
            | Self::TooManyPartitions { topic, .. }
            | Self::Replication { topic, .. }
            | Self::Set { topic, .. } => topic,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(Topic { partitions, replication, settings, .. }) => {
                write!(f, "missing: make it with {partitions} partitions")?;
                replication.map_or(Ok(()), |brokers| write!(f, " on {brokers} brokers"))?;
                settings.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
            }
            Self::AddPartitions { found, declared, .. } => write!(
                f,
                "{found} partitions, declared are {declared}: adding some moves keys to other partitions, so \
                 wait until every group has read what is there, then apply with partitions allowed"
            ),
            Self::TooManyPartitions { found, declared, .. } => write!(
                f,
                "{found} partitions, declared are {declared}: partitions are never taken away; declare {found}"
            ),
            Self::Replication { found, declared, .. } => write!(
                f,
                "on {found} brokers, declared are {declared}: move it with the cluster's own \
                 kafka-reassign-partitions"
            ),
            Self::Set { name, found, declared, .. } => {
                write!(f, "{name}={}, declared is {declared}", found.as_deref().unwrap_or("(none)"))
            }
        }
    }
}

/// What the cluster has of one topic.
struct Found {
    partitions: u32,
    replication: u16,
    settings: ConfigResource,
}

impl KafkaBroker {
    /// Compares what is declared with what the cluster has; changes nothing.
    ///
    /// # Errors
    /// When the cluster does not answer, or refuses to tell.
    pub async fn plan_topics(&self, declared: &[Topic]) -> Result<Vec<Change>, BrokerError> {
        let found = self.find(declared).await?;
        Ok(declared.iter().flat_map(|topic| differences(topic, found.get(&topic.name))).collect())
    }

    /// Makes the topics that are missing and sets the settings that differ. Adds partitions only with `add_partitions`. What
    /// would shrink or delete something is left alone.
    ///
    /// # Errors
    /// When the cluster refuses a change: those before it are done. It can be repeated.
    pub async fn apply_topics(
        &self,
        declared: &[Topic],
        add_partitions: bool,
    ) -> Result<Vec<(Change, Applied)>, BrokerError> {
        let plan = self.plan_topics(declared).await?;
        let mut applied = Vec::with_capacity(plan.len());
        let mut set: Vec<&str> = Vec::new();
        for change in &plan {
            let done = match change {
                Change::Create(topic) => {
                    create(self.admin(), std::slice::from_ref(topic)).await?;
                    Applied::Done
                }
                Change::AddPartitions { topic, declared, .. } if add_partitions => {
                    let new = NewPartitions::new(topic, *declared as usize);
                    let asked = self.admin().create_partitions(&[new], &options()).await;
                    each(answered(self.admin(), asked)?, "partitions cannot be added")?;
                    Applied::Done
                }
                Change::Set { topic, .. } => {
                    if !set.contains(&topic.as_str()) {
                        set.push(topic);
                        self.set(topic, &plan).await?;
                    }
                    Applied::Done
                }
                _ => Applied::LeftAlone,
            };
            applied.push((change.clone(), done));
        }
        let made = plan.iter().filter(|change| matches!(change, Change::Create(_)));
        self.publisher().wait_for_topics(made.map(|change| change.topic().to_owned()).collect()).await?;
        Ok(applied)
    }

    /// Sets what differs of one topic. The cluster replaces all of a topic's own settings at once, so those that were
    /// not declared are given again as they are.
    async fn set(&self, topic: &str, plan: &[Change]) -> Result<(), BrokerError> {
        let found = describe(self.admin(), &[topic]).await?;
        let own = found.iter().flat_map(|found| &found.entries).filter(|entry| is_own(entry));
        let mut settings: HashMap<&str, &str> =
            own.filter_map(|entry| Some((entry.name.as_str(), entry.value.as_deref()?))).collect();
        for change in plan {
            if let Change::Set { topic: of, name, declared, .. } = change
                && of == topic
            {
                settings.insert(name, declared);
            }
        }
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (name, value) in settings {
            alter = alter.set(name, value);
        }
        let answers = answered(self.admin(), self.admin().alter_configs(&[alter], &options()).await)?;
        for answer in answers {
            if let Err((_, code)) = answer {
                let text = format!("the settings of topic {topic} cannot be changed: {}", explain(code));
                return Err(BrokerError::Engine(text));
            }
        }
        Ok(())
    }

    async fn find(&self, topics: &[Topic]) -> Result<HashMap<String, Found>, BrokerError> {
        let metadata = self.publisher().ask(|client, wait| client.fetch_metadata(None, wait)).await?;
        let there: HashMap<&str, &MetadataTopic> =
            metadata.topics().iter().map(|topic| (topic.name(), topic)).collect();
        let names: Vec<&str> =
            topics.iter().map(|topic| topic.name.as_str()).filter(|name| there.contains_key(name)).collect();
        let mut found = HashMap::new();
        for (name, settings) in names.iter().zip(describe(self.admin(), &names).await?) {
            let partitions = there[name].partitions();
            let replication = partitions.iter().map(|partition| partition.replicas().len()).min();
            found.insert(
                (*name).to_owned(),
                Found {
                    partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
                    replication: replication.and_then(|count| u16::try_from(count).ok()).unwrap_or(0),
                    settings,
                },
            );
        }
        Ok(found)
    }
}

/// Pure: one topic as declared, and as it is.
fn differences(topic: &Topic, found: Option<&Found>) -> Vec<Change> {
    let Some(found) = found else { return vec![Change::Create(topic.clone())] };
    let mut changes = Vec::new();
    let (name, declared) = (topic.name.clone(), topic.partitions.max(1));
    match found.partitions {
        few if few < declared => {
            changes.push(Change::AddPartitions { topic: name.clone(), found: few, declared });
        }
        many if many > declared => {
            changes.push(Change::TooManyPartitions { topic: name.clone(), found: many, declared });
        }
        _ => {}
    }
    if let Some(declared) = topic.replication
        && declared != found.replication
    {
        changes.push(Change::Replication { topic: name.clone(), found: found.replication, declared });
    }
    for (setting, declared) in &topic.settings {
        let value = found.settings.get(setting).and_then(|entry| entry.value.clone());
        if value.as_ref() != Some(declared) {
            let (topic, name) = (name.clone(), setting.clone());
            changes.push(Change::Set { topic, name, found: value, declared: declared.clone() });
        }
    }
    changes
}

/// Makes topics. One that exists is left as it is.
pub(crate) async fn create(admin: &Admin, topics: &[Topic]) -> Result<(), BrokerError> {
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let partitions = i32::try_from(topic.partitions.max(1)).unwrap_or(i32::MAX);
            let brokers = topic.replication.map_or(-1, i32::from); // -1: the cluster's default
            let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(brokers));
            let is_declared = topic.settings.contains_key(RECORD_TIME.0);
            let ours = Some(RECORD_TIME).filter(|_| !is_declared);
            let theirs = topic.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            theirs.chain(ours).fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    each(answered(admin, admin.create_topics(&new, &options()).await)?, "cannot be made")
}

async fn describe(admin: &Admin, topics: &[&str]) -> Result<Vec<ConfigResource>, BrokerError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let resources: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let answers = answered(admin, admin.describe_configs(&resources, &options()).await)?;
    let refused =
        |code| BrokerError::Engine(format!("the settings of topics cannot be read: {}", explain(code)));
    answers.into_iter().map(|answer| answer.map_err(refused)).collect()
}

/// Whether a setting was given to the topic itself, and is not a default.
fn is_own(entry: &ConfigEntry) -> bool {
    matches!(entry.source, ConfigSource::DynamicTopic)
}

/// What the cluster answered; else the reason why it did not.
fn answered<T>(admin: &Admin, asked: KafkaResult<T>) -> Result<T, BrokerError> {
    asked.map_err(|error| admin.inner().context().explain(&error))
}

fn each(answers: Vec<TopicResult>, what: &str) -> Result<(), BrokerError> {
    for answer in answers {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(BrokerError::Engine(format!("topic {topic}: {what}: {}", explain(code))));
            }
        }
    }
    Ok(())
}

/// What the cluster says, and what to do.
fn explain(code: RDKafkaErrorCode) -> String {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidConfig, InvalidReplicationFactor, InvalidTopic,
        TopicAuthorizationFailed,
    };
    let advice = match code {
        TopicAuthorizationFailed | ClusterAuthorizationFailed => {
            "grant this user Create, Alter, Describe, DescribeConfigs and AlterConfigs on the topic"
        }
        InvalidReplicationFactor => "the cluster has fewer brokers than that; declare fewer",
        InvalidConfig => {
            "it does not know a setting by that name, or not that value; see Kafka's topic configs"
        }
        InvalidTopic => "a topic's name is letters, digits, dots, underscores and dashes, at most 249",
        _ => return code.to_string(),
    };
    format!("{code}; {advice}")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER))
}
