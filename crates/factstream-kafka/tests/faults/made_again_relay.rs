//! A topic that is deleted and made again while it is published to: with as many partitions, fewer or more, at once or when the relay
//! knows that it is gone, on the same leader or another. The relay goes on, and nothing is acknowledged into nothing: all that is
//! published from then on is in the new topic.

use crate::support::{
    DEADLINE, admin, declared, delete_topic, join, mixed, number_of, open, read_until, unique,
};
use factstream_core::broker::{Broker, BrokerError};
use factstream_core::message::Record;
use factstream_kafka::KafkaBroker;
use factstream_kafka::rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use factstream_kafka::rdkafka::error::RDKafkaErrorCode;
use factstream_tests::kafka::{self, Kafka};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, block_in_place};

const KEYS: usize = 10;
/// Rounds that show that it goes on.
const SOME: usize = 20;

/// Publishes round after round, and each again until it is acknowledged.
struct Relay {
    acknowledged: Arc<AtomicUsize>,
    /// How often it was told that there is no such topic.
    told: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Relay {
    fn start(broker: &KafkaBroker, topic: &str) -> Self {
        let [acknowledged, told] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let stopped = Arc::new(AtomicBool::new(false));
        let running = tokio::spawn({
            let (broker, topic, stopped) = (broker.clone(), topic.to_owned(), Arc::clone(&stopped));
            let (acknowledged, told) = (Arc::clone(&acknowledged), Arc::clone(&told));
            async move {
                for round in 0.. {
                    let mut batch = mixed(&topic, KEYS, round, round + 1);
                    while let Err(error) = broker.publish(batch.clone()).await {
                        assert!(matches!(error.source, BrokerError::UnknownTopic { .. }), "{error}");
                        told.fetch_add(1, Ordering::Relaxed);
                        batch.drain(..error.acknowledged);
                    }
                    acknowledged.store(round + 1, Ordering::Relaxed);
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        });
        Self { acknowledged, told, stopped, running }
    }

    /// How many rounds are acknowledged.
    fn rounds(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    async fn goes_on(&self) {
        let rounds = self.rounds() + SOME;
        until("it goes on", || self.rounds() >= rounds).await;
    }

    async fn stop(self) -> usize {
        self.stopped.store(true, Ordering::Relaxed);
        self.running.await.expect("it ends");
        self.acknowledged.load(Ordering::Relaxed)
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "this did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes a topic, each partition on these brokers, as soon as the old one is deleted.
async fn make(url: &str, topic: &str, partitions: &[&[i32]]) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let count = i32::try_from(partitions.len()).expect("a few");
        let new = NewTopic::new(topic, count, TopicReplication::Variable(partitions));
        let made = admin(url).create_topics(&[new], &AdminOptions::new()).await.expect("an answer");
        match &made[0] {
            Ok(_) => return,
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => panic!("{code}"),
        }
        assert!(Instant::now() < deadline, "the topic is not deleted");
    }
}

/// The round in which each key begins in a topic that has everything from there to the last round, in each partition in order.
async fn beginnings(url: &str, topic: &str, rounds: usize) -> Vec<usize> {
    let mut member = join(&open(url), &unique("group"), topic).await;
    let numbers = |read: &[Record]| {
        let mut numbers: HashMap<Vec<u8>, HashSet<usize>> = HashMap::new();
        for record in read {
            numbers.entry(record.key.clone().expect("a key")).or_default().insert(number_of(record));
        }
        numbers
    };
    let is_whole = |numbers: &HashSet<usize>| {
        let first = numbers.iter().min().copied().unwrap_or_default();
        numbers.len() == rounds - first
    };
    let is_all = |read: &[Record]| {
        let numbers = numbers(read);
        numbers.len() == KEYS
            && numbers.values().all(|of_key| of_key.contains(&(rounds - 1)) && is_whole(of_key))
    };
    let read = read_until(member.as_mut(), is_all).await;
    let mut last: HashMap<(u32, Vec<u8>), usize> = HashMap::new();
    for record in &read {
        let place = (record.partition.partition, record.key.clone().expect("a key"));
        let (number, last) = (number_of(record), last.entry(place).or_default());
        assert!(number >= *last, "{record:?}: {number} comes after {last}");
        *last = number;
    }
    numbers(&read).values().filter_map(|of_key| of_key.iter().min().copied()).collect()
}

/// Asserts that nothing of what was published since then is missing.
async fn assert_whole(url: &str, topic: &str, rounds: usize, made_at: usize) {
    for begins in beginnings(url, topic, rounds).await {
        // One round was under way when the topic was made: a part of it may have gone with the old one.
        assert!(begins <= made_at + 1, "rounds {made_at} to {begins} were acknowledged and are nowhere");
    }
}

/// `waits` until the relay was told that the topic is gone.
async fn made_again(before: u32, after: usize, waits: bool) {
    let url = kafka::server();
    let broker = open(&format!("{url}?topic.metadata.propagation.max.ms=1000"));
    let topic = declared(&broker, before).await;
    let relay = Relay::start(&broker, &topic);
    relay.goes_on().await;
    delete_topic(&url, &topic).await;
    if waits {
        until("it is told", || relay.told.load(Ordering::Relaxed) > 0).await;
    }
    make(&url, &topic, &vec![&[1][..]; after]).await;
    let made_at = relay.rounds();
    relay.goes_on().await;
    let rounds = relay.stop().await;
    assert_whole(&url, &topic, rounds, made_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_as_many_partitions() {
    for waits in [false, true] {
        made_again(3, 3, waits).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_fewer_partitions() {
    for waits in [false, true] {
        made_again(3, 2, waits).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_more_partitions() {
    for waits in [false, true] {
        made_again(2, 3, waits).await;
    }
}

fn leader(url: &str, topic: &str) -> i32 {
    let found = block_in_place(|| admin(url).inner().fetch_metadata(Some(topic), Duration::from_secs(10)));
    found.expect("the cluster answers").topics()[0].partitions()[0].leader()
}

/// The new topic's leader is an older one by its epoch, which begins again: what is known of the old topic must not keep it away.
#[tokio::test(flavor = "multi_thread")]
async fn with_another_leader_whose_epoch_is_lower() {
    let mut cluster = Kafka::start_cluster();
    let brokers: Vec<String> = cluster.iter().map(|kafka| kafka.url().replacen("kafka://", "", 1)).collect();
    let url = format!("kafka://{}", brokers.join(","));
    let (broker, topic) = (open(&url), unique("events"));
    make(&url, &topic, &[&[1, 2, 3]]).await;
    let relay = Relay::start(&broker, &topic);
    relay.goes_on().await;
    cluster[0].kill();
    relay.goes_on().await;
    cluster[0].start();
    assert_ne!(leader(&url, &topic), 1, "another one leads");
    relay.goes_on().await;
    delete_topic(&url, &topic).await;
    make(&url, &topic, &[&[1, 2, 3]]).await;
    let made_at = relay.rounds();
    relay.goes_on().await;
    assert_eq!(leader(&url, &topic), 1);
    let rounds = relay.stop().await;
    assert_whole(&url, &topic, rounds, made_at).await;
}
