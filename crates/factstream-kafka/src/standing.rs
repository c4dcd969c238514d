//! Where a group stands, seen from outside of it: what it has committed in each partition, who committed that, and whether it could
//! go on from there. Looking joins nothing and moves nothing.

use crate::config::ANSWER;
use crate::made_again::MadeAgain;
use crate::onlookers::{Onlooker, Onlookers, answered};
use crate::place::{Place, partition_of, place};
use factstream_core::broker::{BrokerError, Committer, Stored};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What a group has committed in every partition of its topics.
pub(crate) fn committed(onlooker: &Onlooker, topics: &[String]) -> Result<TopicPartitionList, BrokerError> {
    let client = &onlooker.client;
    let mut partitions = TopicPartitionList::new();
    for topic in topics {
        let metadata = answered(client, |wait| client.fetch_metadata(Some(topic), wait))?;
        for partition in metadata.topics().iter().flat_map(MetadataTopic::partitions) {
            partitions.add_partition(topic, partition.id());
        }
    }
    // Asks again while the group is on its way to its broker, as it is when it is new.
    answered(client, |wait| {
        let committed = client.committed_offsets(partitions.clone(), wait)?;
        committed.elements().iter().try_for_each(TopicPartitionListElem::error)?;
        Ok(committed)
    })
}

/// Who has committed these offsets.
pub(crate) fn committers(committed: &TopicPartitionList) -> BTreeSet<Committer> {
    let elements = committed.elements();
    elements.iter().filter_map(|element| Committer::parse(element.metadata())).collect()
}

/// Another store's committer of these offsets.
pub(crate) fn other_system(committed: &TopicPartitionList, ours: Option<&Committer>) -> Option<Committer> {
    let ours = ours?;
    committers(committed).into_iter().find(|committer| committer.store_id != ours.store_id)
}

/// The refusal of a group that is another system's.
pub(crate) fn refusal(group: &str, theirs: Committer, ours: &Committer) -> BrokerError {
    BrokerError::OtherSystem { group: group.to_owned(), theirs, ours: ours.clone() }
}

/// Refuses a group that is another system's.
pub(crate) async fn refuse_other_system(
    onlookers: &Onlookers,
    group: &str,
    topics: &[String],
    ours: Option<&Committer>,
) -> Result<(), BrokerError> {
    let Some(ours) = ours.cloned() else { return Ok(()) };
    let (name, topics) = (group.to_owned(), topics.to_vec());
    let look = move |onlooker: &Onlooker| match other_system(&committed(onlooker, &topics)?, Some(&ours)) {
        Some(theirs) => Err(refusal(&name, theirs, &ours)),
        None => Ok(()),
    };
    onlookers.ask(group, look).await
}

/// Whether every partition has what comes next for the group.
pub(crate) async fn check_places(
    onlookers: &Onlookers,
    group: &str,
    topics: &[String],
    stored: &[Stored],
    doubted: MadeAgain,
) -> Result<(), BrokerError> {
    let topics = topics.to_vec();
    let stored: HashMap<Place, Stored> =
        stored.iter().map(|stored| (place(&stored.partition), stored.clone())).collect();
    onlookers.ask(group, move |onlooker| check(onlooker, &topics, &stored, &doubted)).await
}

fn check(
    onlooker: &Onlooker,
    topics: &[String],
    stored: &HashMap<Place, Stored>,
    doubted: &MadeAgain,
) -> Result<(), BrokerError> {
    let client = &onlooker.client;
    let committed = committed(onlooker, topics)?;
    // A partition that is gone, with a topic that came back with fewer, is asked for nothing.
    let is_doubtful = |place: &Place| {
        let found = committed.find_partition(&place.0, place.1).map(|found| found.offset());
        found.is_some_and(|offset| !matches!(offset, Offset::Offset(_)) || doubted.contains(&place.0))
    };
    let doubtful = stored.iter().filter(|(place, _)| is_doubtful(place)).collect();
    let made_again = answered(client, |_| made_again(client, &doubtful))?;
    for element in committed.elements() {
        let place = (element.topic().to_owned(), element.partition());
        if made_again.contains(&place) {
            continue;
        }
        let stored = stored.get(&place);
        let at = match (element.offset(), stored) {
            (Offset::Offset(committed), _) => committed,
            (_, Some(stored)) => stored.next,
            (_, None) => continue,
        };
        let (oldest, end) = answered(client, |wait| client.fetch_watermarks(&place.0, place.1, wait))?;
        if (oldest..=end).contains(&at) {
            continue;
        }
        let partition = partition_of(&place.0, place.1);
        if at < oldest {
            return Err(BrokerError::OffsetGone { partition, committed: at, oldest });
        }
        doubted.note(&place.0);
        return Err(BrokerError::OffsetBeyondEnd { partition, next: at, end });
    }
    Ok(())
}

/// The partitions of topics that were made again: a record before the stored offset is newer than everything that was read there.
pub(crate) fn made_again<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    stored: &HashMap<&Place, &Stored>,
) -> KafkaResult<HashSet<Place>> {
    let mut times = TopicPartitionList::new();
    for (place, stored) in stored {
        if let Some(newest) = stored.newest {
            times.add_partition_offset(&place.0, place.1, Offset::Offset(newest.as_millisecond() + 1))?;
        }
    }
    if times.count() == 0 {
        return Ok(HashSet::new());
    }
    let found = consumer.offsets_for_times(times, ANSWER)?;
    let is_before = |place: &Place| {
        let first_newer = found.find_partition(&place.0, place.1).map(|found| found.offset());
        matches!(first_newer, Some(Offset::Offset(offset)) if offset < stored[place].next)
    };
    Ok(stored.keys().copied().filter(|place| is_before(place)).cloned().collect())
}

/// Offsets to commit, each with who commits it.
pub(crate) fn to_commit<'a>(
    next: impl IntoIterator<Item = (&'a str, i32, i64)>,
    committer: Option<&str>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in next {
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset))?;
        if let Some(committer) = committer {
            element.set_metadata(committer);
        }
    }
    Ok(list)
}
