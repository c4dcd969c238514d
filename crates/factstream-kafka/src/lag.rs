//! How far a group is behind: its committed offsets against the ends of the partitions, asked for by a client that is no
//! member, so that looking moves nothing.

use crate::config::{self, Reasons, refused};
use factstream_core::broker::{BrokerError, Lag};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Groups whose client is kept.
const CLIENTS_MAX: usize = 64;
/// How many events of a client are served between two questions. There are few: nobody subscribes with it.
const EVENTS_MAX: usize = 100;

type Client = BaseConsumer<Reasons>;

pub(crate) struct Lags {
    settings: ClientConfig,
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl Lags {
    pub(crate) fn new(settings: ClientConfig) -> Self {
        Self { settings, clients: Mutex::default() }
    }

    pub(crate) async fn of(&self, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
        let (client, topics) = (self.client(group)?, topics.to_vec());
        let asked = tokio::task::spawn_blocking(move || ask(&client, &topics)).await;
        asked.map_err(|error| BrokerError::Engine(error.to_string()))?
    }

    fn client(&self, group: &str) -> Result<Arc<Client>, BrokerError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(group) {
            return Ok(Arc::clone(client));
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let config = config::consumer(&self.settings, group);
        let client = config.create_with_context(Reasons::of(&config)).map_err(|error| refused(&error))?;
        let client = Arc::new(client);
        clients.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

fn ask(client: &Client, topics: &[String]) -> Result<Lag, BrokerError> {
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        let metadata = answered(client, |wait| client.fetch_metadata(Some(topic), wait))?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            partitions.add_partition(topic, partition.id());
        }
    }
    // Asks again while the group is on its way to its broker, as it is when it is new.
    let committed = answered(client, |wait| client.committed_offsets(partitions.clone(), wait))?;
    let mut events = 0;
    for element in committed.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (oldest, end) = answered(client, |wait| client.fetch_watermarks(topic, partition, wait))?;
        let at = match element.offset() {
            Offset::Offset(offset) => offset.max(oldest),
            _ => oldest,
        };
        events += u64::try_from(end - at).unwrap_or(0);
    }
    Ok(Lag { events, oldest: None })
}

/// Asks the cluster, and serves the client's events, for that is how it tells the reason of an error.
fn answered<T>(client: &Client, ask: impl Fn(Duration) -> KafkaResult<T>) -> Result<T, BrokerError> {
    client.context().ask(|wait| {
        let answer = ask(wait);
        if answer.is_err() {
            for _ in 0..EVENTS_MAX {
                if client.poll(Duration::ZERO).is_none() {
                    break;
                }
            }
        }
        answer
    })
}
