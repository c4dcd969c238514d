//! The broker is killed and started again, while things are published and read (G5).

use crate::support::{
    assert_whole_and_in_order, declared, join, lag_becomes, mixed, open, read_until, relay, unique,
};
use factstream_core::message::Record;
use factstream_tests::kafka::Kafka;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const KEYS: usize = 50;
const ROUNDS: usize = 1_000;
/// Rounds of all keys in a batch.
const BATCH_ROUNDS: usize = 10;

/// Kills the broker and starts it again, each time so much more is done.
async fn restart_at(mut kafka: Kafka, done: Arc<AtomicUsize>, marks: &'static [usize], kills: bool) -> Kafka {
    let restarting = tokio::task::spawn_blocking(move || {
        for mark in marks {
            factstream_tests::eventually("it goes on", || done.load(Ordering::Relaxed) >= *mark);
            if kills {
                kafka.kill()
            } else {
                kafka.stop()
            }
            kafka.start();
        }
        kafka
    });
    restarting.await.expect("the broker can be restarted")
}

pub(crate) fn distinct(records: &[Record]) -> usize {
    let ids: HashSet<_> = records.iter().map(|record| (&record.key, &record.value)).collect();
    ids.len()
}

async fn publish_through_restarts(kills: bool) {
    let kafka = Kafka::start_own();
    let broker = open(&kafka.url());
    let topic = declared(&broker, 4).await;
    let done = Arc::new(AtomicUsize::new(0));
    let publishing = tokio::spawn({
        let (broker, topic, done) = (broker.clone(), topic.clone(), Arc::clone(&done));
        async move {
            for from in (0..ROUNDS).step_by(BATCH_ROUNDS) {
                relay(&broker, mixed(&topic, KEYS, from, from + BATCH_ROUNDS)).await;
                done.store(from + BATCH_ROUNDS, Ordering::Relaxed);
            }
        }
    });
    let kafka = restart_at(kafka, Arc::clone(&done), &[ROUNDS / 5, ROUNDS / 2], kills).await;
    assert!(done.load(Ordering::Relaxed) < ROUNDS, "all was published before the last restart: publish more");
    publishing.await.expect("publishing goes on");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let all =
        read_until(member.as_mut(), |read| read.len() >= KEYS * ROUNDS && distinct(read) == KEYS * ROUNDS);
    let all = all.await;
    assert_whole_and_in_order(&all, KEYS, ROUNDS);
    println!("{} records, {} of them twice", all.len(), all.len() - KEYS * ROUNDS);
    drop(kafka);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_while_the_broker_is_killed_twice_is_whole_and_in_order() {
    publish_through_restarts(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_while_the_broker_is_stopped_twice_is_whole_and_in_order() {
    publish_through_restarts(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_on_through_a_kill_and_loses_nothing() {
    let kafka = Kafka::start_own();
    let broker = open(&kafka.url());
    let topic = declared(&broker, 4).await;
    relay(&broker, mixed(&topic, KEYS, 0, ROUNDS)).await;
    let group = unique("group");
    let mut member = join(&broker, &group, &topic).await;
    let done = Arc::new(AtomicUsize::new(0));
    let restarting = tokio::spawn(restart_at(kafka, Arc::clone(&done), &[2_000], true));
    let all = read_until(member.as_mut(), |read| {
        done.store(read.len(), Ordering::Relaxed);
        read.len() >= KEYS * ROUNDS && distinct(read) == KEYS * ROUNDS
    });
    let all = all.await;
    assert_whole_and_in_order(&all, KEYS, ROUNDS);
    let kafka = restarting.await.expect("the broker is there again");
    // The group may have taken the member for gone and let go of progress that was on its way: those records come again, once.
    tokio::select! {
        () = lag_becomes(&broker, &group, &topic, 0) => {}
        _ = read_until(member.as_mut(), |_| false) => unreachable!("it reads on until the group has caught up"),
    }
    relay(&broker, mixed(&topic, KEYS, ROUNDS, ROUNDS + 1)).await;
    let more = read_until(member.as_mut(), |read| distinct(read) == KEYS).await;
    assert!(more.iter().all(|record| crate::support::number_of(record) == ROUNDS), "old records come again");
    drop(kafka);
}
