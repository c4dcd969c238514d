//! One broker of three is killed, each in turn: leaders, coordinators and the controller move. Nothing is lost, and whoever asks,
//! reads or makes topics meanwhile waits, and is told no error.

use crate::restart::distinct;
use crate::support::{
    after, assert_whole_and_in_order, declared, join, mixed, open, poll, read_until, relay, unique,
};
use factstream_core::broker::{Broker, BrokerError, Topic};
use factstream_core::message::Record;
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka::Kafka;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const KEYS: usize = 10;

/// Kills each broker and starts it again, as soon as everybody has got on since the last time.
fn kill_each(mut cluster: [Kafka; 3], done: &[Arc<AtomicUsize>; 3]) -> [Kafka; 3] {
    let now = || done.each_ref().map(|done| done.load(Ordering::Relaxed));
    for kafka in &mut cluster {
        let goes_on = |from: [usize; 3]| now().iter().zip(from).all(|(now, from)| *now > from + 1);
        let before = now();
        factstream_tests::eventually("all go on", || goes_on(before));
        kafka.kill();
        let killed_at = now();
        factstream_tests::eventually("all go on with two brokers", || goes_on(killed_at));
        kafka.start();
    }
    cluster
}

/// Everything that is asked of a cluster beside publishing and reading.
async fn ask(broker: &KafkaBroker, group: &str, topic: &str) -> Result<(), BrokerError> {
    let topics = [topic.to_owned()];
    broker.lag(group, &topics).await?;
    broker.members(group).await?;
    let registry = [Topic::new(topic, 6), Topic::new(unique("made"), 1)];
    broker.plan_topics(&registry).await?;
    broker.apply_topics(&registry, false).await?;
    broker.declare(&[Topic::new(unique("declared"), 1)]).await?;
    let mut member = broker.subscribe(&unique("group"), &topics, &[]).await?;
    while member.poll(1, crate::support::POLL).await?.is_empty() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_each_broker_of_three_is_killed_nothing_is_lost_and_everybody_goes_on() {
    let cluster = Kafka::start_cluster();
    let all_of_them: Vec<String> =
        cluster.iter().map(|kafka| kafka.url().replacen("kafka://", "", 1)).collect();
    let url = format!("kafka://{}", all_of_them.join(","));
    let broker = open(&url);
    let (topic, group) = (declared(&broker, 6).await, unique("group"));
    let [published, read, asked] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let stopped = Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (broker, topic, group) = (broker.clone(), topic.clone(), group.clone());
        let (read, stopped) = (Arc::clone(&read), Arc::clone(&stopped));
        async move {
            let mut member = join(&broker, &group, &topic).await;
            while !stopped.load(Ordering::Relaxed) {
                let records = poll(member.as_mut()).await;
                member.commit(&after(&records)).await.expect("progress can be committed");
                read.fetch_add(records.len(), Ordering::Relaxed);
            }
        }
    });
    let asking = tokio::spawn({
        let (topic, group) = (topic.clone(), group.clone());
        let (asked, stopped) = (Arc::clone(&asked), Arc::clone(&stopped));
        async move {
            let broker = open(&url);
            while !stopped.load(Ordering::Relaxed) {
                let answered = ask(&broker, &group, &topic).await;
                answered.unwrap_or_else(|error| {
                    panic!("after {} rounds: {error}", asked.load(Ordering::Relaxed))
                });
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let killing = tokio::task::spawn_blocking({
        let done = [&published, &read, &asked].map(Arc::clone);
        move || kill_each(cluster, &done)
    });
    let mut rounds = 0;
    while !killing.is_finished() {
        relay(&broker, mixed(&topic, KEYS, rounds, rounds + 1)).await;
        rounds += 1;
        published.store(rounds, Ordering::Relaxed);
    }
    stopped.store(true, Ordering::Relaxed);
    asking.await.expect("whoever asks is answered");
    reading.await.expect("the group reads on");
    let cluster = killing.await.expect("the brokers can be killed and started");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let is_all = |read: &[Record]| read.len() >= KEYS * rounds && distinct(read) == KEYS * rounds;
    let all = read_until(member.as_mut(), is_all).await;
    assert_whole_and_in_order(&all, KEYS, rounds);
    println!(
        "{} records, {} of them twice; asked {} times",
        all.len(),
        all.len() - KEYS * rounds,
        asked.load(Ordering::Relaxed)
    );
    drop(cluster);
}
