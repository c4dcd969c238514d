//! A topic that is deleted and made again while a group reads it, with more records than it had: the group's offset is one in the
//! middle of the new topic.

use crate::support::{
    DEADLINE, POLL, commit_as_other_tool, declare_anew, declared, delete_topic, join_with_stored, message,
    number_of, open, read_until, relay, unique,
};
use factstream_core::broker::{Broker, BrokerError, Partition, Stored};
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use jiff::Timestamp;
use std::time::{Duration, Instant};

const OLD: usize = 10;
const NEW: usize = 40;

async fn publish(url: &str, topic: &str, numbers: std::ops::Range<usize>) {
    let messages = numbers.map(|number| message(topic, &format!("key-{}", number % 4), number.to_string()));
    relay(&open(url), messages.collect()).await;
}

/// A member that has read the old topic, and still is one when the new topic has its records. It reads none of them, also after it was
/// held up for so long with what it had read. The new topic has one partition.
async fn made_again_while_it_is_read(
    url: &str,
    broker: &KafkaBroker,
    partitions: u32,
    held_up: Duration,
) -> (String, String, Vec<Stored>) {
    let (topic, group) = (declared(broker, partitions).await, unique("group"));
    publish(url, &topic, 0..OLD).await;
    let mut member = join_with_stored(broker, &group, &topic, &[]).await;
    read_until(member.as_mut(), |read| read.len() == OLD).await;
    let read = Instant::now();
    let stored = (0..partitions).map(|partition| {
        let partition = Partition { topic: topic.clone(), partition };
        Stored { partition, next: OLD as i64, newest: Some(Timestamp::now()) }
    });
    let stored = stored.collect();
    delete_topic(url, &topic).await;
    declare_anew(url, &topic).await;
    publish(url, &topic, OLD..OLD + NEW).await;
    while read.elapsed() < held_up {
        broker.lag(&group, std::slice::from_ref(&topic)).await.expect("its lag is known");
    }
    let deadline = Instant::now() + DEADLINE;
    let error = loop {
        match member.poll(500, POLL).await {
            Err(error) => break error,
            Ok(records) => assert!(records.is_empty(), "it reads on from {:?}", records[0].offset),
        }
        assert!(Instant::now() < deadline, "it reads nothing, and does not say why");
    };
    assert!(matches!(&error, BrokerError::Engine(reason) if reason.contains(&topic)), "{error}");
    assert!(!error.halts(), "the next member goes on by itself");
    (topic, group, stored)
}

async fn assert_read_from_its_beginning(broker: &KafkaBroker, group: &str, topic: &str, stored: &[Stored]) {
    let mut member = join_with_stored(broker, group, topic, stored).await;
    let read = read_until(member.as_mut(), |read| read.len() >= NEW).await;
    assert_eq!(read.iter().map(number_of).collect::<Vec<_>>(), (OLD..OLD + NEW).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_member_does_not_read_on_in_the_middle_of_the_new_topic() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group, stored) = made_again_while_it_is_read(&url, &broker, 1, Duration::ZERO).await;
    assert_read_from_its_beginning(&broker, &group, &topic, &stored).await;
}

/// A member that commits after the topic was made again, and before it has heard of that.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_late_is_no_offset_of_the_new_topic() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group, stored) = made_again_while_it_is_read(&url, &broker, 1, Duration::ZERO).await;
    broker.until_left().await;
    commit_as_other_tool(&url, &group, &topic, OLD as i64, "").await;
    assert_read_from_its_beginning(&broker, &group, &topic, &stored).await;
}

/// A member sends progress once more a second after it has committed: what is of the partition that is still there arrives.
#[tokio::test(flavor = "multi_thread")]
async fn progress_that_is_sent_again_is_no_offset_of_a_new_topic_with_fewer_partitions() {
    read_from_its_beginning_with_fewer_partitions(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_back_with_fewer_partitions_is_read_from_its_beginning() {
    read_from_its_beginning_with_fewer_partitions(Duration::ZERO).await;
}

/// What is stored of the partitions that are gone is in nobody's way.
async fn read_from_its_beginning_with_fewer_partitions(held_up: Duration) {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group, stored) = made_again_while_it_is_read(&url, &broker, 3, held_up).await;
    let topics = [topic.clone()];
    broker.check_group(&group, &topics, &stored).await.expect("it can go on");
    assert_read_from_its_beginning(&broker, &group, &topic, &stored).await;
    broker.check_group(&group, &topics, &stored).await.expect("it can go on");
    broker.lag(&group, &topics).await.expect("its lag is known");
}
