//! What the broker checks are written with.
//!
//! Invariant: topics and groups have names that no other check uses, so that one broker may serve all of them.

use crate::BrokerUnderTest;
use crate::support::{DEADLINE, soon};
use factstream_core::broker::{Broker, Lag, Partition, Subscription, Topic};
use factstream_core::message::{Headers, Message, Record};
use factstream_core::sql::now;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long one poll may wait while records are being collected.
const POLL: Duration = Duration::from_millis(200);

/// A name that nobody else uses.
pub(super) fn unique(name: &str) -> String {
    format!("{name}-{}", Uuid::now_v7().simple())
}

/// An open broker with a topic of its own.
pub(super) async fn with_topic(
    under_test: &dyn BrokerUnderTest,
    partitions: u32,
) -> (Arc<dyn Broker>, String) {
    let broker = under_test.open().await;
    let topic = declared(&*broker, "events", partitions).await;
    (broker, topic)
}

/// Declares a new topic.
pub(super) async fn declared(broker: &dyn Broker, name: &str, partitions: u32) -> String {
    let topic = Topic::new(unique(name), partitions);
    declare(broker, &topic).await;
    topic.name
}

/// Declares; the broker must accept it.
pub(super) async fn declare(broker: &dyn Broker, topic: &Topic) {
    let done = soon("declare", broker.declare(std::slice::from_ref(topic))).await;
    done.unwrap_or_else(|error| panic!("{topic:?} cannot be declared: {error}"));
}

/// A message for a key.
pub(super) fn message(topic: &str, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Message {
    let headers = Headers::from_iter([("event_type", "Happened")]);
    let (key, value): (String, Vec<u8>) = (key.into(), value.into());
    let (key, value) = (Some(key.into_bytes()), Some(value));
    Message { topic: topic.to_owned(), key, value, headers, timestamp: now() }
}

/// So many messages for one key, valued `0`, `1`, ..
pub(super) fn numbered(topic: &str, key: &str, count: usize) -> Vec<Message> {
    (0..count).map(|number| message(topic, key, number.to_string())).collect()
}

/// Publishes; the broker must accept it.
pub(super) async fn publish(broker: &dyn Broker, batch: Vec<Message>) {
    let done = soon("publish", broker.publish(batch)).await;
    done.unwrap_or_else(|error| panic!("a batch cannot be published: {error}"));
}

/// Joins a group.
pub(super) async fn join(broker: &dyn Broker, group: &str, topics: &[&str]) -> Box<dyn Subscription> {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let joined = soon("subscribe", broker.subscribe(group, &topics, &[])).await;
    joined.unwrap_or_else(|error| panic!("the group {group} cannot subscribe to {topics:?}: {error}"))
}

/// One poll.
pub(super) async fn poll(member: &mut dyn Subscription, records_max: usize, wait: Duration) -> Vec<Record> {
    let polled = soon("poll", member.poll(records_max, wait)).await;
    let records = polled.unwrap_or_else(|error| panic!("poll({records_max}, {wait:?}) fails: {error}"));
    let found = records.len();
    assert!(found <= records_max, "G13 is broken: a poll of at most {records_max} records gave {found}");
    records
}

/// Polls until a batch is not empty.
pub(super) async fn some(member: &mut dyn Subscription, records_max: usize) -> Vec<Record> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let records = poll(member, records_max, POLL).await;
        if !records.is_empty() {
            return records;
        }
        assert!(
            Instant::now() < deadline,
            "G5 is broken: records that must come did not come within {DEADLINE:?}"
        );
    }
}

/// Polls and commits until so many records came; none beyond them may come.
pub(super) async fn take(member: &mut dyn Subscription, count: usize) -> Vec<Record> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let records = some(member, 500).await;
        commit(member, &records).await;
        taken.extend(records);
    }
    let more = poll(member, 500, Duration::ZERO).await;
    taken.extend(more);
    assert_eq!(taken.len(), count, "G5 is broken: more records came than were published");
    taken
}

/// Commits what comes after these records.
pub(super) async fn commit(member: &mut dyn Subscription, handled: &[Record]) {
    commit_at(member, &after(handled)).await;
}

/// Commits these offsets.
pub(super) async fn commit_at(member: &mut dyn Subscription, next: &[(Partition, i64)]) {
    let done = soon("commit", member.commit(next)).await;
    done.unwrap_or_else(|error| panic!("{next:?} cannot be committed: {error}"));
}

/// For each partition, the offset after the last of these records.
pub(super) fn after(records: &[Record]) -> Vec<(Partition, i64)> {
    let mut next: HashMap<Partition, i64> = HashMap::new();
    for record in records {
        let offset = next.entry(record.partition.clone()).or_default();
        *offset = (*offset).max(record.offset + 1);
    }
    next.into_iter().collect()
}

/// How far the group is behind, as soon as it is so many records.
pub(super) async fn lag_of(broker: &dyn Broker, group: &str, topics: &[&str], events: u64) -> Lag {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let mut seen = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let lag = soon("lag", broker.lag(group, &topics))
            .await
            .unwrap_or_else(|error| panic!("lag fails: {error}"));
        if lag.events == events {
            return lag;
        }
        if seen.last() != Some(&lag.events) {
            seen.push(lag.events);
        }
        assert!(Instant::now() < deadline, "the lag must be {events} records, but was told as {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A record's key as text.
pub(super) fn key_of(record: &Record) -> String {
    String::from_utf8(record.key.clone().unwrap_or_default()).expect("the checks' keys are text")
}

/// A record's value as text.
pub(super) fn text_of(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default()).expect("these values are text")
}

/// The values of these records, in order.
pub(super) fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text_of).collect()
}

/// `from`, .. up to before `to`, as texts.
pub(super) fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}
