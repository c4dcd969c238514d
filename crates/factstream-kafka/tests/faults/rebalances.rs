//! Members that join, leave and sleep: nothing is lost, and a commit that came too late does no harm (G7).

use crate::restart::distinct;
use crate::support::{
    DEADLINE, POLL, after, declared, gather, join, lag_becomes, message, mixed, open, poll, read_until,
    relay, unique,
};
use factstream_core::broker::{Broker, Partition, Subscription};
use factstream_core::message::Record;
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 6;
const KEYS: usize = 60;
/// How long members come and go.
const CHURN: Duration = Duration::from_secs(10);
/// Batches that a member handles before it leaves.
const STAY: usize = 8;

/// What was handled, as the inbox knows it: for each partition, the next offset.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<HashMap<Partition, i64>>>);

impl Handled {
    /// Marks records; one that lies beyond the next means that those between are lost.
    fn mark(&self, records: &[Record]) {
        let mut handled = self.0.lock().expect("nobody panicked");
        for record in records {
            let next = handled.entry(record.partition.clone()).or_default();
            assert!(
                record.offset <= *next,
                "{}: {} after {next}: records are skipped",
                record.partition,
                record.offset
            );
            *next = (*next).max(record.offset + 1);
        }
    }

    fn count(&self) -> usize {
        let handled = self.0.lock().expect("nobody panicked");
        handled.values().map(|next| usize::try_from(*next).expect("an offset")).sum()
    }
}

/// A member handles a batch of at most so many.
async fn handle_one(member: &mut dyn Subscription, records_max: usize, handled: &Handled) {
    let records = member.poll(records_max, POLL).await.expect("polling goes on");
    handled.mark(&records);
    member.commit(&after(&records)).await.expect("a commit is no error, whoever has the partitions");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_members_come_and_go() {
    let broker = open(&kafka::server());
    let (topic, group) = (declared(&broker, PARTITIONS).await, unique("group"));
    let (handled, stopped) = (Handled::default(), Arc::new(AtomicBool::new(false)));
    let (published, joins) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let producing = tokio::spawn({
        let (broker, topic, stopped, published) =
            (broker.clone(), topic.clone(), Arc::clone(&stopped), Arc::clone(&published));
        async move {
            for round in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                relay(&broker, mixed(&topic, KEYS, round, round + 1)).await;
                published.fetch_add(KEYS, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let members: Vec<_> = (0..3)
        .map(|number| {
            let (broker, topic, group) = (broker.clone(), topic.clone(), group.clone());
            let (handled, stopped, joins) = (handled.clone(), Arc::clone(&stopped), Arc::clone(&joins));
            tokio::spawn(async move {
                while !stopped.load(Ordering::Relaxed) {
                    let mut member = join(&broker, &group, &topic).await;
                    joins.fetch_add(1, Ordering::Relaxed);
                    for _ in 0..STAY * (number + 1) {
                        // With few at a time the next ones are read ahead.
                        handle_one(member.as_mut(), [7, 40, 500][number], &handled).await;
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(CHURN).await;
    stopped.store(true, Ordering::Relaxed);
    producing.await.expect("publishing goes on");
    for member in members {
        member.await.expect("members go on");
    }
    let (published, before) = (published.load(Ordering::Relaxed), handled.count());
    let mut last = join(&broker, &group, &topic).await;
    let deadline = Instant::now() + DEADLINE;
    while handled.count() < published {
        assert!(Instant::now() < deadline, "{} of {published} were handled", handled.count());
        handle_one(last.as_mut(), 500, &handled).await;
    }
    assert_eq!(handled.count(), published);
    assert!(before > published / 10, "only {before} of {published} were handled while members came and went");
    lag_becomes(&broker, &group, &topic, 0).await;
    println!("{published} records, {} joins", joins.load(Ordering::Relaxed));
}

/// The partitions from which records come.
fn partitions(records: &[Record]) -> BTreeSet<u32> {
    records.iter().map(|record| record.partition.partition).collect()
}

/// A message for each of some keys, so that every partition gets some.
async fn publish_everywhere(broker: &KafkaBroker, topic: &str) {
    relay(broker, (0..KEYS).map(|key| message(topic, &format!("key-{key}"), "0")).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_sleeps_loses_its_partitions_and_joins_again_when_it_wakes() {
    let url = kafka::server();
    let broker = open(&url);
    let sleepy = open(&format!("{url}?max.poll.interval.ms=6000&session.timeout.ms=6000"));
    let (topic, group) = (declared(&broker, 2).await, unique("group"));
    publish_everywhere(&broker, &topic).await;
    let mut sleeper = join(&sleepy, &group, &topic).await;
    let topics = [topic.clone()];
    let unfinished = gather(sleeper.as_mut(), KEYS).await;
    // It sleeps over its batch: another member is given the partitions, from where the group stands.
    let mut other = join(&broker, &group, &topic).await;
    let handled = read_until(other.as_mut(), |read| read.len() >= KEYS).await;
    assert_eq!(partitions(&handled), BTreeSet::from([0, 1]), "all partitions go on at the other member");
    publish_everywhere(&broker, &topic).await;
    let more = read_until(other.as_mut(), |read| read.len() >= KEYS).await;
    lag_becomes(&broker, &group, &topic, 0).await;
    // It wakes up and commits what the other has long passed: no error, and the group does not go back.
    sleeper.commit(&after(&unfinished)).await.expect("a commit that came too late is no error");
    lag_becomes(&broker, &group, &topic, 0).await;
    // It joins again: each of the two reads partitions of its own, and nothing comes again that is known to be committed. What
    // is committed while partitions move may not arrive, and then comes again: so each round is waited for.
    let deadline = Instant::now() + DEADLINE;
    let mut ends: HashMap<Partition, i64> = after(&more).into_iter().collect();
    loop {
        publish_everywhere(&broker, &topic).await;
        let (mut woken, mut rest) = (BTreeSet::new(), BTreeSet::new());
        let mut read = Vec::new();
        while distinct(&read) < KEYS || broker.lag(&group, &topics).await.expect("a lag").events > 0 {
            assert!(Instant::now() < deadline, "records are missing, or not committed");
            for (member, partitions_seen) in [(&mut sleeper, &mut woken), (&mut other, &mut rest)] {
                let records = poll(member.as_mut()).await;
                member.commit(&after(&records)).await.expect("a commit");
                partitions_seen.extend(partitions(&records));
                read.extend(records);
            }
        }
        for record in &read {
            assert!(record.offset >= ends[&record.partition], "committed, and it came again: {record:?}");
        }
        ends.extend(after(&read));
        if !woken.is_empty() && !rest.is_empty() && woken.is_disjoint(&rest) {
            return;
        }
        assert!(Instant::now() < deadline, "the sleeper is given nothing after it woke");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_for_a_partition_that_is_anothers_by_now_does_not_take_the_group_back() {
    let broker = open(&kafka::server());
    let (topic, group) = (declared(&broker, 2).await, unique("group"));
    publish_everywhere(&broker, &topic).await;
    let mut first = join(&broker, &group, &topic).await;
    let old = read_until(first.as_mut(), |read| read.len() >= KEYS).await;
    let mut second = join(&broker, &group, &topic).await;
    // Both poll until the second has a partition and has read on there.
    let deadline = Instant::now() + DEADLINE;
    let mut moved = BTreeSet::new();
    while moved.is_empty() {
        assert!(Instant::now() < deadline, "no partition moves");
        publish_everywhere(&broker, &topic).await;
        for (member, seen) in [(&mut first, None), (&mut second, Some(&mut moved))] {
            let records = poll(member.as_mut()).await;
            member.commit(&after(&records)).await.expect("a commit");
            if let Some(seen) = seen {
                seen.extend(partitions(&records));
            }
        }
    }
    // All is read and committed, also what fell into the rebalance; then the first says once more where it was long ago.
    let topics = [topic.clone()];
    while broker.lag(&group, &topics).await.expect("lag can be told").events > 0 {
        assert!(Instant::now() < deadline, "what was handled is never committed");
        for member in [&mut first, &mut second] {
            let records = poll(member.as_mut()).await;
            member.commit(&after(&records)).await.expect("a commit");
        }
    }
    let stale: Vec<_> =
        after(&old).into_iter().filter(|(partition, _)| moved.contains(&partition.partition)).collect();
    assert!(!stale.is_empty(), "a partition moved that had records");
    first.commit(&stale).await.expect("a commit for another's partition is no error");
    lag_becomes(&broker, &group, &topic, 0).await;
}
