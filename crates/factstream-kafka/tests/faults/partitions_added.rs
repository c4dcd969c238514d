//! Partitions that are added while all runs: they are read soon, and keys keep their order when it is done as the manual says.

use crate::support::{
    DEADLINE, assert_whole_and_in_order, declared, join, lag_becomes, mixed, open, read_until, relay, unique,
};
use factstream_core::broker::Topic;
use factstream_core::message::Record;
use factstream_tests::kafka;
use std::time::{Duration, Instant};

/// What the project promises; the default settings need less.
const WANTED: Duration = Duration::from_secs(30);
const KEYS: usize = 40;
const ROUNDS: usize = 5;

fn is_in_all_partitions(records: &[Record]) -> bool {
    (0..6).all(|partition| records.iter().any(|record| record.partition.partition == partition))
}

#[tokio::test(flavor = "multi_thread")]
async fn added_partitions_are_written_and_read_soon_and_keys_keep_their_order() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = (declared(&broker, 2).await, unique("group"));
    let mut member = join(&broker, &group, &topic).await;
    relay(&broker, mixed(&topic, KEYS, 0, ROUNDS)).await;
    // As the manual says: nothing is published, and all is read, when partitions are added.
    let mut all = read_until(member.as_mut(), |read| read.len() == KEYS * ROUNDS).await;
    lag_becomes(&broker, &group, &topic, 0).await;
    broker.apply_topics(&[Topic::new(&topic, 6)], true).await.expect("partitions can be added");
    let added = Instant::now();
    // The relay and the group run on with what they knew, until they hear of it.
    let mut rounds = ROUNDS;
    let mut records = Vec::new();
    while !is_in_all_partitions(&records) {
        assert!(added.elapsed() < DEADLINE, "an added partition is never read");
        relay(&broker, mixed(&topic, KEYS, rounds, rounds + 1)).await;
        rounds += 1;
        records.extend(read_until(member.as_mut(), |read| read.len() == KEYS).await);
    }
    println!("read after {:?}", added.elapsed());
    assert!(added.elapsed() <= WANTED, "it took {:?}", added.elapsed());
    all.extend(records);
    assert_whole_and_in_order(&all, KEYS, rounds);
}
