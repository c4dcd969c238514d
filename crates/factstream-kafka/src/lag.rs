//! How far a group is behind: its committed offsets against the ends of the partitions, and how old the oldest record is between
//! them.

use crate::onlookers::{Onlooker, Onlookers, answered};
use factstream_core::broker::{BrokerError, Lag};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;

pub(crate) async fn of(onlookers: &Onlookers, group: &str, topics: &[String]) -> Result<Lag, BrokerError> {
    let topics = topics.to_vec();
    onlookers.ask(group, move |client| ask(client, &topics)).await
}

fn ask(onlooker: &Onlooker, topics: &[String]) -> Result<Lag, BrokerError> {
    let client = &onlooker.client;
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
        committed.elements().iter().try_for_each(TopicPartitionListElem::error)?;
        Ok(committed)
    })?;
    let (mut events, mut waiting) = (0, HashMap::new());
    for element in committed.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let (oldest, end) = answered(client, |wait| client.fetch_watermarks(topic, partition, wait))?;
        let at = match element.offset() {
            Offset::Offset(offset) => offset.max(oldest),
            _ => oldest,
        };
        if at < end {
            events += u64::try_from(end - at).unwrap_or(0);
            waiting.insert((topic.to_owned(), partition), at);
        }
    }
    Ok(Lag { events, oldest: onlooker.oldest(&waiting), missed: 0 })
}
