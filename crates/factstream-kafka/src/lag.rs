//! How far a group is behind: its committed offsets against the ends of the partitions, asked for by a client that is no
//! member, so that looking moves nothing.

use crate::broker::{ANSWER, failed, has_no_coordinator};
use crate::config;
use factstream_core::broker::{BrokerError, Lag};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Groups whose client is kept.
const CLIENTS_MAX: usize = 64;
/// The pause before a group that is on its way is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Lags {
    settings: ClientConfig,
    clients: Mutex<HashMap<String, Arc<BaseConsumer>>>,
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

    fn client(&self, group: &str) -> Result<Arc<BaseConsumer>, BrokerError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(group) {
            return Ok(Arc::clone(client));
        }
        if clients.len() >= CLIENTS_MAX {
            clients.clear();
        }
        let client = config::consumer(&self.settings, group).create().map_err(|error| failed(&error))?;
        let client = Arc::new(client);
        clients.insert(group.to_owned(), Arc::clone(&client));
        Ok(client)
    }
}

fn ask(client: &BaseConsumer, topics: &[String]) -> Result<Lag, BrokerError> {
    let failed = |error: rdkafka::error::KafkaError| failed(&error);
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), ANSWER).map_err(failed)?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            partitions.add_partition(topic, partition.id());
        }
    }
    let committed = committed(client, partitions).map_err(failed)?;
    let mut events = 0;
    for element in committed.elements() {
        let (oldest, end) =
            client.fetch_watermarks(element.topic(), element.partition(), ANSWER).map_err(failed)?;
        let at = match element.offset() {
            Offset::Offset(offset) => offset.max(oldest),
            _ => oldest,
        };
        events += u64::try_from(end - at).unwrap_or(0);
    }
    Ok(Lag { events, oldest: None })
}

/// The group's offsets; asks again while the group is on its way to its broker, as it is when it is new.
fn committed(client: &BaseConsumer, partitions: TopicPartitionList) -> KafkaResult<TopicPartitionList> {
    let deadline = Instant::now() + ANSWER;
    loop {
        match client.committed_offsets(partitions.clone(), ANSWER) {
            Err(KafkaError::MetadataFetch(code)) if has_no_coordinator(code) && Instant::now() < deadline => {
                std::thread::sleep(ASK_AGAIN);
            }
            answer => return answer,
        }
    }
}
