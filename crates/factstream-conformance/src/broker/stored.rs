//! Where a group goes on whose offsets the broker has forgotten: at those that its owner stored with its effects.

use super::support::{
    commit_at, join, message, numbered, numbers, publish, some, take, texts, unique, with_topic,
};
use crate::BrokerUnderTest;
use crate::support::{DEADLINE, soon};
use factstream_core::broker::{Broker, BrokerError, Partition, Stored, Subscription};
use factstream_core::partition::partition_of;
use std::time::Duration;
use tokio::time::Instant;

async fn join_with_stored(
    broker: &dyn Broker,
    group: &str,
    topic: &str,
    stored: &[(Partition, i64)],
) -> Box<dyn Subscription> {
    let topics = [topic.to_owned()];
    let joined = soon(
        "subscribe",
        broker.subscribe(group, &topics, &stored.iter().cloned().map(Stored::from).collect::<Vec<_>>()),
    )
    .await;
    joined.unwrap_or_else(|error| panic!("the group {group} cannot subscribe to {topic}: {error}"))
}

fn place(topic: &str, partition: u32) -> Partition {
    Partition { topic: topic.to_owned(), partition }
}

/// Nothing committed: each partition goes on where it is stored, and one that is not starts at its oldest record.
pub async fn without_a_commit_a_group_goes_on_at_the_stored_offset(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let of_partition = |wanted| {
        let mut keys = (0..).map(|number| format!("key-{number}"));
        keys.find(|key| partition_of(key.as_bytes(), 2) == wanted).expect("there is a key for each partition")
    };
    for partition in [0, 1] {
        publish(&*broker, numbered(&topic, &of_partition(partition), 10)).await;
    }
    let group = unique("group");
    let stored = [(place(&topic, 0), 7), (place("another.topic", 1), 5)];
    let mut member = join_with_stored(&*broker, &group, &topic, &stored).await;
    let records = take(member.as_mut(), 13).await;
    for (partition, from) in [(0, 7), (1, 0)] {
        let own: Vec<_> =
            records.iter().filter(|record| record.partition.partition == partition).cloned().collect();
        assert_eq!(
            texts(&own),
            numbers(from, 10),
            "G5 is broken: partition {partition} does not go on where the group's owner stored it"
        );
    }
}

/// What is committed is moved on with every batch, and by hand; what is stored may be older.
pub async fn a_committed_offset_takes_precedence_over_a_stored_one(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let group = unique("group");
    publish(&*broker, numbered(&topic, "key", 10)).await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    some(member.as_mut(), 10).await;
    commit_at(member.as_mut(), &[(place(&topic, 0), 6)]).await;
    drop(member);
    let mut member = join_with_stored(&*broker, &group, &topic, &[(place(&topic, 0), 2)]).await;
    assert_eq!(texts(&take(member.as_mut(), 4).await), numbers(6, 10), "a group left its committed offset");
}

/// At the end is a place like any other: what is published next is next.
pub async fn a_group_stored_at_the_end_reads_what_comes_next(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    publish(&*broker, numbered(&topic, "key", 10)).await;
    let stored = [(place(&topic, 0), 10)];
    let mut member = join_with_stored(&*broker, &unique("group"), &topic, &stored).await;
    publish(&*broker, vec![message(&topic, "key", "10")]).await;
    assert_eq!(texts(&take(member.as_mut(), 1).await), ["10"], "a group left the end, where it was stored");
}

/// A topic that was made again ends before the place that is stored: the group halts and says both.
pub async fn a_stored_offset_beyond_the_end_is_told(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    publish(&*broker, numbered(&topic, "key", 3)).await;
    let group = unique("group");
    for _ in 0..2 {
        let stored = [(place(&topic, 0), 10)];
        let mut member = join_with_stored(&*broker, &group, &topic, &stored).await;
        for _ in 0..2 {
            let deadline = Instant::now() + DEADLINE;
            let error = loop {
                match soon("poll", member.poll(10, Duration::from_millis(200))).await {
                    Err(error) => break error,
                    Ok(records) => assert_eq!(records, [], "G5 is broken: it jumped"),
                }
                assert!(Instant::now() < deadline, "no error is told");
            };
            let is_told = matches!(&error, BrokerError::OffsetBeyondEnd { partition, next: 10, end: 3 }
                if *partition == place(&topic, 0));
            assert!(is_told, "a group beyond the end of its partition: {error:?}");
        }
    }
}
