//! Setting a group to another place: where its partitions begin and end, and offsets committed from outside the group.

use crate::onlookers::{Onlooker, Onlookers, answered};
use crate::standing::to_commit;
use factstream_core::broker::{Bounds, BrokerError, Committer, Partition};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// A group that does not exist: nobody's offsets are asked for.
const NO_GROUP: &str = "factstream-bounds";

/// A member that has halted, or is being stopped, may still be on its way out of the group: so long it is waited for.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) async fn bounds(
    onlookers: &Onlookers,
    topics: &[String],
) -> Result<Vec<(Partition, Bounds)>, BrokerError> {
    let topics = topics.to_vec();
    onlookers.ask(NO_GROUP, move |onlooker| bounds_of(onlooker, &topics)).await
}

fn bounds_of(onlooker: &Onlooker, topics: &[String]) -> Result<Vec<(Partition, Bounds)>, BrokerError> {
    let client = &onlooker.client;
    let mut bounds = Vec::new();
    for topic in topics {
        let metadata = answered(client, |wait| client.fetch_metadata(Some(topic), wait))?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            let (start, end) = answered(client, |wait| client.fetch_watermarks(topic, partition.id(), wait))?;
            let partition = u32::try_from(partition.id()).unwrap_or_default();
            bounds.push((Partition { topic: topic.clone(), partition }, Bounds { start, end }));
        }
    }
    Ok(bounds)
}

/// Commits from outside the group; from then on it is the committer's.
pub(crate) async fn reset(
    onlookers: &Onlookers,
    group: &str,
    next: &[(Partition, i64)],
    committer: Option<&Committer>,
) -> Result<(), BrokerError> {
    if next.is_empty() {
        return Ok(());
    }
    let (name, next, text) = (group.to_owned(), next.to_vec(), committer.map(Committer::to_text));
    onlookers.ask(group, move |onlooker| commit(onlooker, &name, &next, text.as_deref())).await
}

fn commit(
    onlooker: &Onlooker,
    group: &str,
    next: &[(Partition, i64)],
    committer: Option<&str>,
) -> Result<(), BrokerError> {
    let places = next.iter().map(|(Partition { topic, partition }, next)| {
        (topic.as_str(), i32::try_from(*partition).unwrap_or(i32::MAX), *next)
    });
    let offsets = to_commit(places, committer).map_err(|error| BrokerError::Engine(error.to_string()))?;
    let deadline = Instant::now() + LEAVES_WITHIN;
    loop {
        let Err(error) = onlooker.client.commit(&offsets, CommitMode::Sync) else { return Ok(()) };
        if !has_members(&error) {
            let reason = format!("the offsets of the group {group} cannot be set: {error}");
            return Err(BrokerError::Engine(reason));
        }
        if Instant::now() >= deadline {
            return Err(BrokerError::Engine(format!(
                "the group {group} has members, and its offsets can only be set while it has none; stop its processes, then try again"
            )));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn has_members(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    matches!(error, KafkaError::ConsumerCommit(UnknownMemberId | IllegalGeneration | RebalanceInProgress))
}
