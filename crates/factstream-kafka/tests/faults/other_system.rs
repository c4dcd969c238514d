//! Two systems that share a group by mistake are told apart by who has committed its offsets, also when one of them does not run.

use crate::support::{
    DEADLINE, POLL, after, commit_as_other_tool, declared, forget_group, message, open, read_until, relay,
    unique,
};
use factstream_core::broker::{Broker, BrokerError, Committer, Partition, Subscription};
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use std::time::Instant;
use uuid::Uuid;

fn system(url: &str, store: u128, service: &str) -> KafkaBroker {
    open(url).for_system(Committer { store_id: Uuid::from_u128(store), service: service.to_owned() })
}

async fn publish(broker: &KafkaBroker, topic: &str, count: usize) {
    let keyed = |number: usize| message(topic, &format!("key-{number}"), number.to_string());
    relay(broker, (0..count).map(keyed).collect()).await;
}

async fn join(broker: &KafkaBroker, group: &str, topic: &str) -> Result<Box<dyn Subscription>, BrokerError> {
    broker.subscribe(group, &[topic.to_owned()], &[]).await
}

fn assert_refused(refused: &BrokerError, theirs: u128, ours: u128) {
    let BrokerError::OtherSystem { theirs: found, ours: own, .. } = refused else { panic!("{refused}") };
    assert_eq!((found.store_id, own.store_id), (Uuid::from_u128(theirs), Uuid::from_u128(ours)));
    let text = refused.to_string();
    for says in [&found.store_id.to_string(), &own.store_id.to_string(), "--namespace", "handlers reset"] {
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_a_stopped_system_has_read_is_refused_to_another_until_that_takes_it_over() {
    let url = kafka::server();
    let (ours, theirs) = (system(&url, 1, "mail"), system(&url, 2, "bills"));
    let (topic, group) = (declared(&ours, 2).await, unique("group"));
    publish(&ours, &topic, 20).await;
    let mut member = join(&ours, &group, &topic).await.expect("the group is new");
    read_until(member.as_mut(), |read| read.len() == 20).await;
    drop(member);
    ours.until_left().await;

    let topics = [topic.clone()];
    assert_refused(&join(&theirs, &group, &topic).await.err().expect("it is refused"), 1, 2);
    assert_refused(&theirs.check_group(&group, &topics, &[]).await.expect_err("it is refused"), 1, 2);
    let lag = theirs.lag(&group, &topics).await.expect("the lag");
    assert_eq!(lag.committers.iter().map(|by| by.service.as_str()).collect::<Vec<_>>(), ["mail"]);
    // Another service on the same store, such as one that was renamed, and tools that are no system are no strangers.
    for broker in [system(&url, 1, "post"), open(&url)] {
        drop(join(&broker, &group, &topic).await.expect("it may join"));
        broker.until_left().await;
    }
    let next: Vec<(Partition, i64)> =
        theirs.bounds(&topics).await.expect("bounds").into_iter().map(|(at, of)| (at, of.end)).collect();
    theirs.reset(&group, &next).await.expect("the group has no member");
    drop(join(&theirs, &group, &topic).await.expect("the group is its own now"));
    theirs.until_left().await;
    assert_refused(&join(&ours, &group, &topic).await.err().expect("it is refused"), 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_systems_that_join_a_new_group_at_once_are_refused_as_soon_as_both_have_committed() {
    let url = kafka::server();
    let brokers = [system(&url, 1, "mail"), system(&url, 2, "mail")];
    let (topic, group) = (declared(&brokers[0], 2).await, unique("group"));
    let mut members = Vec::new();
    for broker in &brokers {
        members.push(join(broker, &group, &topic).await.expect("the group is new"));
    }
    let deadline = Instant::now() + DEADLINE;
    let share = || async {
        let members = brokers[0].members(&group).await.expect("the members");
        members.len() == 2 && members.iter().all(|member| member.partitions.len() == 1)
    };
    while !share().await {
        assert!(Instant::now() < deadline, "they do not share the partitions");
        for member in &mut members {
            assert!(member.poll(10, POLL).await.expect("it is not refused yet").is_empty());
        }
    }
    let mut refused = [None, None];
    while refused.iter().any(Option::is_none) {
        assert!(Instant::now() < deadline, "nobody notices");
        publish(&brokers[0], &topic, 4).await;
        for (at, member) in members.iter_mut().enumerate() {
            let polled = match member.poll(10, POLL).await {
                Ok(records) => member.commit(&after(&records)).await,
                Err(error) => Err(error),
            };
            refused[at] = refused[at].take().or(polled.err());
        }
    }
    for (at, refused) in refused.iter().flatten().enumerate() {
        let (ours, theirs) = (at as u128 + 1, 2 - at as u128);
        assert_refused(refused, theirs, ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_builds_and_other_tools_have_committed_belongs_to_nobody() {
    let url = kafka::server();
    let broker = system(&url, 1, "mail");
    let (topic, group) = (declared(&broker, 1).await, unique("group"));
    publish(&broker, &topic, 3).await;
    for text in ["", "another tool's", "factstream"] {
        commit_as_other_tool(&url, &group, &topic, 1, text).await;
        let mut member = join(&broker, &group, &topic).await.expect("it may join");
        let read = read_until(member.as_mut(), |read| read.len() == 2).await;
        assert_eq!(read[0].offset, 1);
        drop(member);
        broker.until_left().await;
        forget_group(&url, &group).await;
    }
}
