//! Groups: each reads everything, goes on where it committed, and loses nothing when a member comes or goes.

use super::support::{
    after, commit, commit_at, declared, join, message, numbered, numbers, poll, publish, some, take, text_of,
    texts, unique, with_topic,
};
use crate::BrokerUnderTest;
use crate::support::{DEADLINE, at_once};
use factstream_core::broker::{Partition, Subscription};
use factstream_core::message::Record;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Records that were there before the group are its own too.
pub async fn a_new_group_starts_at_the_oldest_record(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let all = numbered(&topic, "key", 10);
    publish(&*broker, all[..6].to_vec()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    publish(&*broker, all[6..].to_vec()).await;
    let records = take(member.as_mut(), 10).await;
    assert_eq!(texts(&records), numbers(0, 10), "G5 is broken: a new group does not see all records");
}

/// Groups do not know of each other.
pub async fn several_groups_each_see_everything(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    let readers = at_once((0..5).map(|group| {
        let (broker, topic) = (broker.clone(), topic.clone());
        async move {
            let mut member = join(&*broker, &unique(&format!("group-{group}")), &[&topic]).await;
            if group == 0 {
                for key in 0..12 {
                    publish(&*broker, numbered(&topic, &format!("key-{key}"), 10)).await;
                }
            }
            let mut records = take(member.as_mut(), 120).await;
            records.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
            records
        }
    }))
    .await;
    for other in &readers[1..] {
        assert_eq!(other, &readers[0], "G5 is broken: two groups saw different records");
    }
}

/// Committed records do not come again; those after them do.
pub async fn a_group_goes_on_where_it_committed(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let group = unique("group");
    publish(&*broker, numbered(&topic, "key", 10)).await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    let first = some(member.as_mut(), 4).await;
    commit(member.as_mut(), &first).await;
    drop(some(member.as_mut(), 3).await);
    drop(member);
    let mut member = join(&*broker, &group, &[&topic]).await;
    let rest = take(member.as_mut(), 10 - first.len()).await;
    assert_eq!(
        texts(&rest),
        numbers(first.len(), 10),
        "G5 is broken: a group does not go on where it committed"
    );
    let again = poll(member.as_mut(), 100, Duration::from_millis(100)).await;
    assert_eq!(again, [], "committed records came again in the same subscription");
}

/// Commits outlive the broker's handle.
pub async fn commits_are_there_after_reopening(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let group = unique("group");
    publish(&*broker, numbered(&topic, "key", 10)).await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    let first = some(member.as_mut(), 4).await;
    commit(member.as_mut(), &first).await;
    drop(member);
    drop(broker);
    let broker = under_test.open().await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    let rest = take(member.as_mut(), 10 - first.len()).await;
    assert_eq!(
        texts(&rest),
        numbers(first.len(), 10),
        "G5 is broken: commits are lost, or what followed them is"
    );
}

/// A member that polls and dies before its commit has handled nothing.
pub async fn what_was_polled_but_not_committed_comes_again(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let group = unique("group");
    for key in 0..6 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 5)).await;
    }
    for _ in 0..3 {
        let mut member = join(&*broker, &group, &[&topic]).await;
        let mut seen = 0;
        while seen < 30 {
            seen += some(member.as_mut(), 10).await.len();
        }
    }
    let mut member = join(&*broker, &group, &[&topic]).await;
    let records = take(member.as_mut(), 30).await;
    let places: BTreeSet<_> =
        records.iter().map(|record| (record.partition.clone(), record.offset)).collect();
    assert_eq!(
        places.len(),
        30,
        "G5 is broken: records that were polled but not committed do not come again"
    );
}

/// One partition committed, the other not: each goes on at its own place.
pub async fn each_partition_has_a_commit_of_its_own(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let group = unique("group");
    for key in 0..8 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 5)).await;
    }
    let mut member = join(&*broker, &group, &[&topic]).await;
    let mut seen: Vec<Record> = Vec::new();
    while seen.len() < 40 {
        seen.extend(some(member.as_mut(), 100).await);
    }
    let (zero, one): (Vec<Record>, Vec<Record>) =
        seen.into_iter().partition(|record| record.partition.partition == 0);
    assert!(!zero.is_empty() && !one.is_empty(), "8 keys are in both of 2 partitions");
    commit(member.as_mut(), &zero).await;
    drop(member);
    let mut member = join(&*broker, &group, &[&topic]).await;
    let rest = take(member.as_mut(), one.len()).await;
    assert_eq!(rest, one, "G5 is broken: a commit of one partition moved the other, or did not hold");
}

/// A commit that comes late and is older than the last: nothing is lost by it, whichever of the two stands.
pub async fn an_older_commit_loses_nothing(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let (group, partition) = (unique("group"), Partition { topic: topic.clone(), partition: 0 });
    publish(&*broker, numbered(&topic, "key", 10)).await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    let mut seen = 0;
    while seen < 10 {
        seen += some(member.as_mut(), 10).await.len();
    }
    for next in [7, 7, 3] {
        commit_at(member.as_mut(), &[(partition.clone(), next)]).await;
    }
    drop(member);
    let mut member = join(&*broker, &group, &[&topic]).await;
    let first = some(member.as_mut(), 1).await;
    let from = usize::try_from(first[0].offset).expect("an offset is not negative");
    assert!(
        [3, 7].contains(&from),
        "G5 is broken: 7 and then 3 were committed, but the group goes on at {from}"
    );
    let mut texts = texts(&first);
    while texts.len() < 10 - from {
        let records = some(member.as_mut(), 100).await;
        commit(member.as_mut(), &records).await;
        texts.extend(records.iter().map(text_of));
    }
    assert_eq!(texts, numbers(from, 10), "G5 is broken: records after an older commit");
}

/// A group with several topics has a place in each.
pub async fn a_group_reads_several_topics(under_test: &dyn BrokerUnderTest) {
    let (broker, one) = with_topic(under_test, 2).await;
    let other = declared(&*broker, "other.events", 1).await;
    let unread = declared(&*broker, "unread.events", 1).await;
    let group = unique("group");
    for topic in [&one, &other, &unread] {
        publish(&*broker, numbered(topic, "key", 10)).await;
    }
    let mut member = join(&*broker, &group, &[&one, &other]).await;
    let records = take(member.as_mut(), 20).await;
    for topic in [&one, &other] {
        let own: Vec<Record> =
            records.iter().filter(|record| record.partition.topic == *topic).cloned().collect();
        assert_eq!(texts(&own), numbers(0, 10), "G5 is broken: a topic of a group that reads two");
    }
    drop(member);
    publish(&*broker, vec![message(&one, "key", "10"), message(&other, "key", "10")]).await;
    let mut member = join(&*broker, &group, &[&one, &other]).await;
    assert_eq!(
        texts(&take(member.as_mut(), 2).await),
        ["10", "10"],
        "G5 is broken: a group of two topics does not go on"
    );
}

/// Adds what the members handle, commit and poll in turn, until they have so many records between them.
async fn share(members: &mut [Box<dyn Subscription>], handled: &mut [Vec<Record>], wanted: usize) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        for (member, handled) in members.iter_mut().zip(handled.iter_mut()) {
            let records = poll(member.as_mut(), 10, Duration::from_millis(20)).await;
            commit(member.as_mut(), &records).await;
            handled.extend(records);
        }
        let places: BTreeSet<_> =
            handled.iter().flatten().map(|record| (&record.partition, record.offset)).collect();
        if places.len() == wanted {
            return;
        }
        let found = places.len();
        assert!(
            Instant::now() < deadline,
            "G5 is broken: the members of a group saw {found} of {wanted} records"
        );
    }
}

/// Two members that poll in turn: all records are seen, once, as each commits before the next polls.
///
/// While the group finds together, a commit may come too late for a partition that changes hands (Kafka refuses it), and its records come again. It has found
/// together when both are given records of one round.
pub async fn members_of_a_group_see_everything_between_them(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 4).await;
    let (group, other) = (unique("group"), under_test.open().await);
    let mut members = [join(&*broker, &group, &[&topic]).await, join(&*other, &group, &[&topic]).await];
    let mut handled = [Vec::new(), Vec::new()];
    let mut published = 0;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let before = handled.each_ref().map(Vec::len);
        for key in 0..20 {
            publish(&*broker, numbered(&topic, &format!("key-{key}"), 2)).await;
        }
        published += 40;
        share(&mut members, &mut handled, published).await;
        if handled.each_ref().map(Vec::len).iter().zip(before).all(|(now, before)| *now > before) {
            break;
        }
        assert!(Instant::now() < deadline, "G5 is broken: a member of a group is given nothing");
    }
    let before = handled.each_ref().map(Vec::len);
    for key in 0..20 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 10)).await;
    }
    share(&mut members, &mut handled, published + 200).await;
    let handled = [handled[0].split_off(before[0]), handled[1].split_off(before[1])];
    let all: usize = handled.iter().map(Vec::len).sum();
    assert_eq!(all, 200, "G7 is broken: records that one member committed came to the other too");
    for records in &handled {
        for (partition, _) in after(records) {
            let offsets: Vec<i64> = records
                .iter()
                .filter(|record| record.partition == partition)
                .map(|record| record.offset)
                .collect();
            assert!(offsets.is_sorted(), "G7 is broken: a member got {partition} out of order: {offsets:?}");
        }
    }
}

/// A member that leaves in the middle: the other goes on after its commits, and gets what it did not commit.
pub async fn when_a_member_leaves_another_goes_on(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let group = unique("group");
    for key in 0..10 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 10)).await;
    }
    let mut leaving = join(&*broker, &group, &[&topic]).await;
    let handled = some(leaving.as_mut(), 30).await;
    commit(leaving.as_mut(), &handled).await;
    let staying = join(&*broker, &group, &[&topic]).await;
    drop(some(leaving.as_mut(), 10).await);
    drop(leaving);
    let mut rest = [Vec::new()];
    share(&mut [staying], &mut rest, 100 - handled.len()).await;
    let done: BTreeSet<_> = handled.iter().map(|record| (&record.partition, record.offset)).collect();
    let again = rest[0].iter().find(|record| done.contains(&(&record.partition, record.offset)));
    assert_eq!(again, None, "a record that the leaving member committed came again");
}
