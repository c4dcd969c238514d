//! Who is in a group, and which partitions each member is assigned.
//!
//! The assignment comes as the bytes of Kafka's consumer protocol (its `ConsumerProtocolAssignment`): a version, topics
//! with their partitions, user data.

use crate::onlookers::{Onlooker, Onlookers, answered};
use factstream_core::broker::{BrokerError, Member};
use factstream_core::partition::Partition;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;

/// The members of a group; none when nobody ever joined.
pub(crate) async fn of(onlookers: &Onlookers, group: &str) -> Result<Vec<Member>, BrokerError> {
    let name = group.to_owned();
    onlookers.ask(group, move |client| ask(client, &name)).await
}

fn ask(onlooker: &Onlooker, group: &str) -> Result<Vec<Member>, BrokerError> {
    let client = &onlooker.client;
    let found = answered(client, |wait| match client.fetch_group_list(Some(group), wait) {
        Err(KafkaError::GroupListFetch(code)) if has_no_coordinator(code) => Ok(None),
        list => list.map(Some),
    })?;
    let Some(list) = found else { return Ok(Vec::new()) };
    let members = list.groups().iter().flat_map(GroupInfo::members).map(|member| Member {
        name: member.client_id().to_owned(),
        host: member.client_host().trim_start_matches('/').to_owned(),
        partitions: member.assignment().and_then(assignment).unwrap_or_default(),
    });
    Ok(members.collect())
}

/// Nobody has joined a group yet, or it is on its way from one broker to another: it passes.
fn has_no_coordinator(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(code, NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress)
}

/// `None` when the bytes end too early.
fn assignment(mut bytes: &[u8]) -> Option<Vec<Partition>> {
    let bytes = &mut bytes;
    take(bytes, 2)?; // the version; every version begins alike
    let mut partitions = Vec::new();
    for _ in 0..number(bytes)? {
        let length = u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?);
        let topic = std::str::from_utf8(take(bytes, usize::from(length))?).ok()?.to_owned();
        for _ in 0..number(bytes)? {
            partitions.push(Partition { topic: topic.clone(), partition: number(bytes)? });
        }
    }
    Some(partitions)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(take(bytes, 4)?.try_into().ok()?))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_a_broken_one_is_none() {
        let mut bytes = vec![0, 3, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5];
        let found = assignment(&bytes).unwrap();
        let wanted = [0, 5].map(|partition| Partition { topic: "ab".into(), partition });
        assert_eq!(found, wanted);
        for length in 0..bytes.len() {
            assert!(assignment(&bytes[..length]).is_none(), "{length}");
        }
        bytes[2] = 0xff; // a count beyond all measure ends with the bytes, not with the memory
        assert!(assignment(&bytes).is_none());
    }
}
