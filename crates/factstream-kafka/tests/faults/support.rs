//! What these tests are written with. Nothing waits without a deadline.

use factstream_core::broker::{Broker, BrokerError, Partition, Stored, Subscription, Topic};
use factstream_core::message::{Headers, Message, Record};
use factstream_kafka::KafkaBroker;
use factstream_kafka::rdkafka::admin::{AdminClient, AdminOptions};
use factstream_kafka::rdkafka::client::DefaultClientContext;
use factstream_kafka::rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use factstream_kafka::rdkafka::error::RDKafkaErrorCode;
use factstream_kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);
/// How long one poll waits.
pub(crate) const POLL: Duration = Duration::from_millis(200);

pub(crate) fn open(url: &str) -> KafkaBroker {
    KafkaBroker::open_url(url).expect("the engine takes the URL")
}

/// A name that no other test of this process uses.
pub(crate) fn unique(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn declared(broker: &KafkaBroker, partitions: u32) -> String {
    let topic = unique("events");
    declare(broker, &Topic::new(&topic, partitions)).await;
    topic
}

pub(crate) async fn declare(broker: &KafkaBroker, topic: &Topic) {
    broker.declare(std::slice::from_ref(topic)).await.expect("the topic can be declared");
}

pub(crate) async fn join(broker: &KafkaBroker, group: &str, topic: &str) -> Box<dyn Subscription> {
    join_with_stored(broker, group, topic, &[]).await
}

/// Joins with the next offsets that the group's owner has stored.
pub(crate) async fn join_with_stored(
    broker: &KafkaBroker,
    group: &str,
    topic: &str,
    stored: &[Stored],
) -> Box<dyn Subscription> {
    broker.subscribe(group, &[topic.to_owned()], stored).await.expect("the group can be joined")
}

pub(crate) fn message(topic: &str, key: &str, value: impl Into<Vec<u8>>) -> Message {
    let headers = Headers::from_iter([("event_type", "Happened")]);
    let (key, value) = (Some(key.as_bytes().to_vec()), Some(value.into()));
    Message { topic: topic.to_owned(), key, value, headers, timestamp: Timestamp::now() }
}

/// Messages of many keys, mixed; each key's are numbered from `from`.
pub(crate) fn mixed(topic: &str, keys: usize, from: usize, to: usize) -> Vec<Message> {
    let all = (from..to).flat_map(|number| (0..keys).map(move |key| (number, key)));
    all.map(|(number, key)| message(topic, &format!("key-{key}"), number.to_string())).collect()
}

/// Publishes as the relay does: again, from the first message that is not acknowledged.
pub(crate) async fn relay(broker: &KafkaBroker, mut batch: Vec<Message>) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = broker.publish(batch.clone()).await {
        assert!(Instant::now() < deadline, "{error}");
        batch.drain(..error.acknowledged);
    }
}

/// One poll, which must succeed.
pub(crate) async fn poll(member: &mut dyn Subscription) -> Vec<Record> {
    member.poll(500, POLL).await.expect("polling goes on")
}

/// Polls until so many records came, and commits nothing.
pub(crate) async fn gather(member: &mut dyn Subscription, count: usize) -> Vec<Record> {
    let deadline = Instant::now() + DEADLINE;
    let mut gathered = Vec::new();
    while gathered.len() < count {
        assert!(Instant::now() < deadline, "only {} records came", gathered.len());
        gathered.extend(poll(member).await);
    }
    gathered
}

/// Polls and commits until `is_enough` of what was read so far.
pub(crate) async fn read_until(
    member: &mut dyn Subscription,
    mut is_enough: impl FnMut(&[Record]) -> bool,
) -> Vec<Record> {
    let deadline = Instant::now() + DEADLINE;
    let mut read = Vec::new();
    while !is_enough(&read) {
        assert!(Instant::now() < deadline, "only {} records came", read.len());
        let records = waited_for(member.poll(500, POLL).await).unwrap_or_default();
        // What is not committed while the broker is away goes with the next commit.
        waited_for(member.commit(&after(&records)).await);
        read.extend(records);
    }
    read
}

/// `None` while the broker is away: on a busy machine it takes longer to start again than a member waits for an answer.
fn waited_for<T>(answer: Result<T, BrokerError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(BrokerError::Engine(reason)) => {
            println!("waits: {reason}"); // shown when the deadline passes
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn after(records: &[Record]) -> Vec<(Partition, i64)> {
    let mut next = HashMap::new();
    for record in records {
        next.insert(record.partition.clone(), record.offset + 1);
    }
    next.into_iter().collect()
}

pub(crate) fn number_of(record: &Record) -> usize {
    let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default());
    text.ok().and_then(|text| text.parse().ok()).expect("values are numbers here")
}

/// The first appearances of each key's numbers, in the order of the partitions: each key must have 0, 1, .. `count`.
pub(crate) fn assert_whole_and_in_order(records: &[Record], keys: usize, count: usize) {
    let mut next: HashMap<Vec<u8>, usize> = HashMap::new();
    for record in records {
        let next = next.entry(record.key.clone().expect("a key")).or_default();
        let number = number_of(record);
        assert!(number <= *next, "{record:?}: {number} is before {next}: lost, or overtaken");
        *next = (*next).max(number + 1);
    }
    assert_eq!(next.len(), keys, "keys are missing");
    assert!(next.values().all(|next| *next == count), "the ends of keys are missing: {next:?}");
}

/// How far a group is behind, as soon as it is `events`.
pub(crate) async fn lag_becomes(broker: &KafkaBroker, group: &str, topic: &str, events: u64) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let lag = waited_for(broker.lag(group, &[topic.to_owned()]).await).map(|lag| lag.events);
        if lag == Some(events) {
            return;
        }
        assert!(Instant::now() < deadline, "the lag is {lag:?}, and not {events}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Makes the cluster forget where a group stands, as it does 7 days after its last member left.
pub(crate) async fn forget_group(url: &str, group: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let deleted = admin(url).delete_groups(&[group], &AdminOptions::new()).await.expect("an answer");
        match &deleted[0] {
            Ok(_) => return,
            Err((_, RDKafkaErrorCode::NonEmptyGroup)) => {} // the last member is on its way out
            Err((_, code)) => panic!("the group cannot be deleted: {code}"),
        }
        assert!(Instant::now() < deadline, "the group still has members");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Commits an offset of partition 0 from outside the group, with a text of another tool's.
pub(crate) async fn commit_as_other_tool(url: &str, group: &str, topic: &str, next: i64, text: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url.trim_start_matches("kafka://")).set("group.id", group);
    let client: BaseConsumer = config.create().expect("a client of the test's own");
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, 0);
    element.set_offset(Offset::Offset(next)).expect("an offset");
    element.set_metadata(text);
    let committed = tokio::task::spawn_blocking(move || client.commit(&list, CommitMode::Sync)).await;
    committed.expect("it ends").expect("the offset can be committed");
}

pub(crate) fn admin(url: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
    config.create().expect("a client of the test's own")
}

pub(crate) async fn delete_topic(url: &str, topic: &str) {
    let deleted = admin(url).delete_topics(&[topic], &AdminOptions::new()).await.expect("it can be deleted");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
}

/// Deletes the records of partition 0 that lie before an offset, as retention does.
pub(crate) async fn delete_records(url: &str, topic: &str, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(before)).expect("an offset");
    let done = admin(url).delete_records(&list, &AdminOptions::new()).await.expect("records can be deleted");
    done.elements().iter().for_each(|element| element.error().expect("records can be deleted"));
}

/// Deleting a topic takes the cluster a moment.
pub(crate) async fn declare_anew(url: &str, topic: &str) {
    let deadline = Instant::now() + DEADLINE;
    let topics = [topic.to_owned()];
    // Each asks with a new client, for one remembers topics that exist.
    while !matches!(open(url).subscribe("nobody", &topics, &[]).await, Err(BrokerError::UnknownTopic { .. }))
    {
        assert!(Instant::now() < deadline, "the topic is not deleted");
    }
    declare(&open(url), &Topic::new(topic, 1)).await;
}
