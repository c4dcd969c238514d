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

fn distinct(records: &[Record]) -> usize {
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
async fn what_is_published_while_leaders_are_killed_is_whole_and_in_order() {
    let cluster = Kafka::start_cluster();
    let all_of_them: Vec<String> =
        cluster.iter().map(|kafka| kafka.url().replacen("kafka://", "", 1)).collect();
    let broker = open(&format!("kafka://{}", all_of_them.join(",")));
    let topic = declared(&broker, 6).await;
    let done = Arc::new(AtomicUsize::new(0));
    // Each of the three leads some of the partitions: killing one after the other changes every leader.
    let killing = tokio::task::spawn_blocking({
        let done = Arc::clone(&done);
        move || {
            let mut cluster = cluster;
            for kafka in &mut cluster {
                let goes_on = |from: usize| done.load(Ordering::Relaxed) > from + 50;
                let before = done.load(Ordering::Relaxed);
                factstream_tests::eventually("it goes on", || goes_on(before));
                kafka.kill();
                let killed_at = done.load(Ordering::Relaxed);
                factstream_tests::eventually("others lead", || goes_on(killed_at));
                kafka.start();
            }
            cluster
        }
    });
    let (keys, mut rounds) = (10, 0);
    while !killing.is_finished() {
        relay(&broker, mixed(&topic, keys, rounds, rounds + 1)).await;
        rounds += 1;
        done.store(rounds, Ordering::Relaxed);
    }
    let cluster = killing.await.expect("the brokers can be killed and started");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let is_all = |read: &[Record]| read.len() >= keys * rounds && distinct(read) == keys * rounds;
    let all = read_until(member.as_mut(), is_all).await;
    assert_whole_and_in_order(&all, keys, rounds);
    println!("{} records, {} of them twice", all.len(), all.len() - keys * rounds);
    drop(cluster);
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
