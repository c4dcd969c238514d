//! What the cluster is asked and told about topics.
//!
//! Invariants: an error that passes is waited out, up to [`ANSWER`]. rdkafka drops what the cluster says of a single topic's
//! settings: an answer without any setting is a refusal, and what was set is read again.

use crate::config::{ANSWER, Reasons, is_passing, is_passing_code};
use factstream_core::broker::{BrokerError, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigResource, ConfigSource, NewPartitions,
    NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that asks and orders.
pub(crate) type Admin = Arc<AdminClient<Reasons>>;

/// Whose clock says a record's time, in a topic that we make and unless it is declared: the broker's. No process whose clock is
/// wrong can then stop publishing, or have records deleted before they are read.
const RECORD_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

/// The pause before the cluster is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long settings may take until they are read as they were set.
const IN_FORCE: Duration = Duration::from_secs(3);

/// Makes topics. One that exists is left as it is.
pub(crate) async fn create(admin: &Admin, topics: &[Topic]) -> Result<(), BrokerError> {
    let (new, options): (Vec<NewTopic<'_>>, _) = (topics.iter().map(new_topic).collect(), options());
    let answers = patiently(admin, || admin.create_topics(&new, &options)).await?;
    each(answers, "cannot be made", "Create", RDKafkaErrorCode::TopicAlreadyExists)
}

fn new_topic(topic: &Topic) -> NewTopic<'_> {
    let partitions = i32::try_from(topic.partitions.max(1)).unwrap_or(i32::MAX);
    let brokers = topic.replication.map_or(-1, i32::from); // -1: the cluster's default
    let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(brokers));
    let ours = Some(RECORD_TIME).filter(|(name, _)| !topic.settings.contains_key(*name));
    let theirs = topic.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    theirs.chain(ours).fold(new, |new, (name, value)| new.set(name, value))
}

/// Adds partitions to a topic that has fewer.
pub(super) async fn add_partitions(admin: &Admin, topic: &str, count: u32) -> Result<(), BrokerError> {
    let (new, options) = ([NewPartitions::new(topic, count as usize)], options());
    let answers = patiently(admin, || admin.create_partitions(&new, &options)).await?;
    // It had fewer when it was asked first: they were added, and the answer was lost.
    each(answers, "partitions cannot be added", "Alter", RDKafkaErrorCode::InvalidPartitions)
}

/// The settings of a topic, its own and those that it has by default.
pub(super) async fn describe(admin: &Admin, topic: &str) -> Result<ConfigResource, BrokerError> {
    let (asked_for, options) = ([ResourceSpecifier::Topic(topic)], options());
    let ask = || async {
        let named = |answer: Result<_, _>| answer.map_err(|code| (topic.to_owned(), code));
        let answers = admin.describe_configs(&asked_for, &options).await?;
        Ok(answers.into_iter().map(named).collect())
    };
    let answers: Vec<Answer<ConfigResource>> = patiently(admin, ask).await?;
    let is_it = |found: &ConfigResource| found.specifier == OwnedResourceSpecifier::Topic(topic.to_owned());
    match answers.into_iter().next() {
        Some(Ok(found)) if is_it(&found) && !found.entries.is_empty() => Ok(found),
        Some(Err((_, code))) => {
            let text =
                format!("topic {topic}: its settings cannot be read: {}", explain(code, "DescribeConfigs"));
            Err(BrokerError::Engine(text))
        }
        _ => Err(BrokerError::Engine(format!(
            "topic {topic}: its settings cannot be read; grant this user DescribeConfigs on the topic"
        ))),
    }
}

/// Sets some settings of a topic. The cluster replaces all of a topic's own settings at once, so the others are given again as they
/// are; where they cannot be read, nothing is set.
pub(super) async fn alter(
    admin: &Admin,
    topic: &str,
    declared: &BTreeMap<&str, &str>,
) -> Result<(), BrokerError> {
    let found = describe(admin, topic).await?;
    let mut settings = BTreeMap::new();
    for entry in found.entries.iter().filter(|entry| is_own(entry)) {
        let Some(value) = &entry.value else {
            return Err(BrokerError::Engine(format!(
                "topic {topic}: the value of its setting {} cannot be read, and would be lost when others are set; set \
                 {declared:?} with kafka-configs",
                entry.name
            )));
        };
        settings.insert(entry.name.as_str(), value.as_str());
    }
    for (name, value) in declared {
        if found.get(name).is_none() {
            let text =
                format!("topic {topic}: the cluster knows no setting {name}; see Kafka's topic configs");
            return Err(BrokerError::Engine(text));
        }
        settings.insert(name, value);
    }
    let entries = settings.clone().into_iter().collect();
    let (new, options) = ([AlterConfig { specifier: ResourceSpecifier::Topic(topic), entries }], options());
    let ask = || async {
        let named = |answer: Result<_, (_, _)>| answer.map_err(|(_, code)| (topic.to_owned(), code));
        Ok(admin.alter_configs(&new, &options).await?.into_iter().map(named).collect())
    };
    for answer in patiently(admin, ask).await? {
        if let Err((_, code)) = answer {
            let text =
                format!("topic {topic}: its settings cannot be changed: {}", explain(code, "AlterConfigs"));
            return Err(BrokerError::Engine(text));
        }
    }
    wait_until_in_force(admin, topic, &settings).await
}

async fn wait_until_in_force(
    admin: &Admin,
    topic: &str,
    settings: &BTreeMap<&str, &str>,
) -> Result<(), BrokerError> {
    let deadline = Instant::now() + IN_FORCE;
    loop {
        let found = describe(admin, topic).await?;
        let value = |name: &str| found.get(name).and_then(|entry| entry.value.as_deref());
        let Some((name, wanted)) = settings.iter().find(|(name, wanted)| value(name) != Some(wanted)) else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(BrokerError::Engine(format!(
                "topic {topic}: the cluster did not take {name}={wanted}, it has {}; grant this user AlterConfigs on the topic, and \
                 check the value",
                value(name).unwrap_or("none")
            )));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Whether a setting was given to the topic itself, and is not a default.
fn is_own(entry: &ConfigEntry) -> bool {
    matches!(entry.source, ConfigSource::DynamicTopic)
}

/// What the cluster says of one topic.
type Answer<T> = Result<T, (String, RDKafkaErrorCode)>;

/// Asks until nothing stands in the way that passes by itself, up to [`ANSWER`]. Credentials that are refused end it at once.
async fn patiently<T, A>(admin: &Admin, ask: impl Fn() -> A) -> Result<Vec<Answer<T>>, BrokerError>
where
    A: Future<Output = KafkaResult<Vec<Answer<T>>>>,
{
    let deadline = Instant::now() + ANSWER;
    let reasons = admin.inner().context();
    loop {
        let asked = ask().await;
        let passes = match &asked {
            Err(error) => is_passing(error),
            Ok(answers) => {
                let mut codes = answers.iter().filter_map(|answer| answer.as_ref().err());
                codes.any(|(_, code)| is_passing_code(*code))
            }
        };
        if !passes || Instant::now() >= deadline || reasons.refusal().is_some() {
            return asked.map_err(|error| reasons.explain(&error));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Every topic must have been taken, or have been as wanted before.
fn each(
    answers: Vec<TopicResult>,
    what: &str,
    right: &str,
    as_wanted: RDKafkaErrorCode,
) -> Result<(), BrokerError> {
    for answer in answers {
        match answer {
            Ok(_) => {}
            Err((_, code)) if code == as_wanted => {}
            Err((topic, code)) => {
                return Err(BrokerError::Engine(format!("topic {topic}: {what}: {}", explain(code, right))));
            }
        }
    }
    Ok(())
}

/// What the cluster says, and what to do.
fn explain(code: RDKafkaErrorCode, right: &str) -> String {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidConfig, InvalidReplicationFactor, InvalidTopic,
        TopicAuthorizationFailed,
    };
    let advice = match code {
        TopicAuthorizationFailed | ClusterAuthorizationFailed => {
            return format!("{code}; grant this user {right} on the topic");
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
