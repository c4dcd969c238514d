//! Topics as code: what is declared against what the cluster has.
//!
//! Invariants: nothing is ever deleted or made smaller. Partitions are added only when asked for by name, for then keys
//! move to other partitions, and the order of a key holds only for what is published after all before it was read.
//! Settings that were not declared stay as they are.

use crate::broker::KafkaBroker;
use crate::cluster::{self, create};
use crate::publish::Layout;
use factstream_core::broker::{BrokerError, Topic};
use rdkafka::admin::ConfigResource;
use std::collections::HashMap;
use std::fmt;

/// One difference between what is declared and what the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
    layout: Layout,
    settings: ConfigResource,
}

impl KafkaBroker {
    /// Compares what is declared with what the cluster has; changes nothing.
    ///
    /// # Errors
    /// When the cluster does not answer, or this user may not describe a topic and its settings: the error names the right.
    pub async fn plan_topics(&self, declared: &[Topic]) -> Result<Vec<Change>, BrokerError> {
        let found = self.find(declared).await?;
        Ok(declared.iter().flat_map(|topic| differences(topic, found.get(&topic.name))).collect())
    }

    /// Makes the topics that are missing and sets the settings that differ. Adds partitions only with `add_partitions`. What
    /// would shrink or delete something is left alone.
    ///
    /// # Errors
    /// As [`plan_topics`](Self::plan_topics), or when the cluster refuses a change: those before it are done. It can be repeated.
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
                    cluster::add_partitions(self.admin(), topic, *declared).await?;
                    Applied::Done
                }
                Change::Set { topic, .. } => {
                    if !set.contains(&topic.as_str()) {
                        set.push(topic);
                        let wanted = plan.iter().filter_map(|change| match change {
                            Change::Set { topic: of, name, declared, .. } if of == topic => {
                                Some((name.as_str(), declared.as_str()))
                            }
                            _ => None,
                        });
                        cluster::alter(self.admin(), topic, &wanted.collect()).await?;
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

    async fn find(&self, topics: &[Topic]) -> Result<HashMap<String, Found>, BrokerError> {
        let mut found = HashMap::new();
        for Topic { name, .. } in topics {
            if let Some(layout) = self.publisher().layout(name).await? {
                let settings = cluster::describe(self.admin(), name).await?;
                found.insert(name.clone(), Found { layout, settings });
            }
        }
        Ok(found)
    }
}

/// Pure: one topic as declared, and as it is.
fn differences(topic: &Topic, found: Option<&Found>) -> Vec<Change> {
    let Some(found) = found else { return vec![Change::Create(topic.clone())] };
    let mut changes = Vec::new();
    let (name, declared) = (topic.name.clone(), topic.partitions.max(1));
    match found.layout.partitions {
        few if few < declared => {
            changes.push(Change::AddPartitions { topic: name.clone(), found: few, declared });
        }
        many if many > declared => {
            changes.push(Change::TooManyPartitions { topic: name.clone(), found: many, declared });
        }
        _ => {}
    }
    if let Some(declared) = topic.replication
        && declared != found.layout.replication
    {
        changes.push(Change::Replication { topic: name.clone(), found: found.layout.replication, declared });
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
