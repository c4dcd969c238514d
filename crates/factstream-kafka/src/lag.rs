//! How far a group is behind: its committed offsets against the ends of the partitions.

use crate::onlookers::{Onlooker, Onlookers, answered};
use factstream_core::broker::{BrokerError, Lag};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

pub(crate) async fn of(onlookers: &Onlookers, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
    let topics = topics.to_vec();
    onlookers.ask(group, move |client| ask(client, &topics)).await
}

fn ask(client: &Onlooker, topics: &[String]) -> Result<Lag, BrokerError> {
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        let metadata = answered(client, |wait| client.fetch_metadata(Some(topic), wait))?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            partitions.add_partition(topic, partition.id());
        }
    }
    // Asks again while the group is on its way to its broker, as it is when it is new.
    let committed = answered(client, |wait| {
        let committed = client.committed_offsets(partitions.clone(), wait)?;
        committed.elements().iter().try_for_each(|element| element.error())?;
        Ok(committed)
    })?;
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
