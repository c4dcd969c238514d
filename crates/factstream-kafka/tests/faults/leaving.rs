//! A member that stops cleanly is out of its group when the broker's handle says so: the next one is given the partitions at once.

use crate::support::{admin, declared, join, message, open, relay, unique};
use factstream_core::broker::Broker;
use factstream_kafka::rdkafka::admin::AdminOptions;
use factstream_kafka::rdkafka::error::RDKafkaErrorCode;
use factstream_tests::kafka;
use std::time::Duration;

/// As often as members come and go; one in 14 stops left somebody behind.
const STOPS: u32 = 20;
/// How long a member may take to leave: it may have to finish joining first.
const LEAVES_WITHIN: Duration = Duration::from_secs(15);

/// Only a group without members can be deleted.
async fn assert_nobody_is_in(url: &str, group: &str) {
    let deleted = admin(url).delete_groups(&[group], &AdminOptions::new()).await.expect("an answer");
    let is_empty = matches!(deleted[0], Ok(_) | Err((_, RDKafkaErrorCode::GroupIdNotFound)));
    assert!(is_empty, "somebody was left behind: {:?}", deleted[0]);
}

async fn stop_again_and_again(settings: &str) {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = (declared(&broker, 4).await, unique("group"));
    relay(&broker, (0..40).map(|key| message(&topic, &format!("key-{key}"), "0")).collect()).await;
    for stop in 0..STOPS {
        // Two processes of a service, each with a handle of its own.
        let brokers = [(); 2].map(|()| open(&format!("{url}{settings}")));
        let mut members = [join(&brokers[0], &group, &topic).await, join(&brokers[1], &group, &topic).await];
        // They stop while they join, share the partitions, or read.
        for _ in 0..stop {
            for member in &mut members {
                member.poll(10, Duration::from_millis(10)).await.expect("polling goes on");
            }
        }
        drop(members);
        for broker in &brokers {
            let left = tokio::time::timeout(LEAVES_WITHIN, broker.until_left()).await;
            left.expect("a member leaves while its cluster is there");
        }
        assert_nobody_is_in(&url, &group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nobody_is_left_in_the_group_wherever_it_comes() {
    stop_again_and_again("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nobody_is_left_in_a_group_that_the_brokers_keep() {
    stop_again_and_again("?group.protocol=consumer").await;
}
