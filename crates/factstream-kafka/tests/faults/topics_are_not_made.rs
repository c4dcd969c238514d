//! On a cluster that makes every topic that is asked for, as Kafka does by default: topics are made by `declare` only.

use crate::support::{
    DEADLINE, POLL, admin, declare, declared, delete_topic, join, message, open, read_until, relay, unique,
};
use factstream_core::broker::{Broker, BrokerError, Topic};
use factstream_tests::kafka;
use std::time::{Duration, Instant};

/// How many partitions a topic has; `None` when it does not exist. All topics are asked for, and so none is made.
fn partitions_of(url: &str, topic: &str) -> Option<usize> {
    let found =
        admin(url).inner().fetch_metadata(None, Duration::from_secs(10)).expect("the cluster answers");
    found.topics().iter().find(|found| found.name() == topic).map(|found| found.partitions().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_question_about_a_topic_makes_it() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = (unique("never-made"), unique("group"));
    let topics = [topic.clone()];
    let unknown = |error: BrokerError| assert!(matches!(error, BrokerError::UnknownTopic { .. }), "{error}");
    for _ in 0..2 {
        unknown(broker.publish(vec![message(&topic, "key", "0")]).await.expect_err("no publish").source);
        unknown(broker.subscribe(&group, &topics, &[]).await.err().expect("no subscription"));
        unknown(broker.lag(&group, &topics).await.expect_err("no lag"));
        broker.plan_topics(&[Topic::new(&topic, 4)]).await.expect("a plan");
        assert_eq!(partitions_of(&url, &topic), None, "a question made the topic");
    }
    declare(&broker, &Topic::new(&topic, 4)).await;
    assert_eq!(partitions_of(&url, &topic), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_under_a_running_relay_and_group_does_not_come_back() {
    let url = kafka::server();
    // How long a topic that the cluster does not know may be one that was just made, and how often it is looked for.
    let broker =
        open(&format!("{url}?topic.metadata.propagation.max.ms=1000&topic.metadata.refresh.interval.ms=500"));
    let (topic, group) = (declared(&broker, 3).await, unique("group"));
    relay(&broker, vec![message(&topic, "key", "0")]).await;
    let mut member = join(&broker, &group, &topic).await;
    read_until(member.as_mut(), |read| read.len() == 1).await;
    delete_topic(&url, &topic).await;
    // Both go on as they do in a running service, until both have heard of it.
    let deleted = Instant::now();
    let deadline = deleted + DEADLINE;
    let (mut relay_knows, mut group_knows) = (false, false);
    while !(relay_knows && group_knows) {
        assert!(Instant::now() < deadline, "relay: {relay_knows}, group: {group_knows}");
        if let Err(error) = broker.publish(vec![message(&topic, "key", "1")]).await {
            relay_knows |= matches!(error.source, BrokerError::UnknownTopic { .. });
        }
        // The handler starts again after an error, and so its subscription.
        if member.poll(10, POLL).await.is_err() {
            match broker.subscribe(&group, std::slice::from_ref(&topic), &[]).await {
                Ok(joined) => member = joined,
                Err(error) => group_knows = matches!(error, BrokerError::UnknownTopic { .. }),
            }
        }
    }
    println!("heard of it after {:?}", deleted.elapsed());
    assert_eq!(partitions_of(&url, &topic), None, "the topic came back");
    declare(&broker, &Topic::new(&topic, 3)).await;
    assert_eq!(partitions_of(&url, &topic), Some(3));
}
