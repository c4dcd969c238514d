//! A user whose rights on topics are not enough: the error names the right that is missing, and nothing is changed or taken for
//! missing.

use crate::support::{DEADLINE, declare, open};
use factstream_core::broker::{Broker, Topic};
use factstream_kafka::{Applied, Change, KafkaBroker};
use factstream_tests::kafka::Kafka;
use std::time::Instant;

/// A setting of each topic that is not declared.
const FOREIGN: u32 = 123_456_789;

fn registry(topic: &str) -> [Topic; 1] {
    [Topic::new(topic, 2).setting("retention.ms", 86_400_000)]
}

async fn assert_plan_lacks(broker: &KafkaBroker, topic: &str, right: &str) {
    for _ in 0..2 {
        let error = broker.plan_topics(&registry(topic)).await.expect_err("no plan").to_string();
        assert!(error.contains(topic) && error.ends_with(&format!("{right} on the topic")), "{error}");
    }
    assert_apply_lacks(broker, topic, right).await;
}

async fn assert_apply_lacks(broker: &KafkaBroker, topic: &str, right: &str) {
    let error =
        broker.apply_topics(&registry(topic), true).await.expect_err("nothing is applied").to_string();
    assert!(error.contains(topic) && error.contains(&format!("{right} on the topic")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_and_nothing_is_taken_away() {
    let starting = tokio::task::spawn_blocking(Kafka::start_own_with_rights);
    let kafka = starting.await.expect("Kafka starts");
    let all_may = open(&kafka.internal_url());
    let (hidden, described, readable, altered, absent) =
        ("hidden.events", "described.events", "readable.events", "altered.events", "absent.events");
    let there = [hidden, described, readable, altered];
    for topic in there {
        declare(&all_may, &Topic::new(topic, 1).setting("segment.ms", FOREIGN)).await;
    }
    kafka.grant(&["Describe"], &[described, readable, altered, absent]);
    kafka.grant(&["DescribeConfigs"], &[readable, altered]);
    kafka.grant(&["Alter", "AlterConfigs"], &[altered]);
    let broker = open(&kafka.url());
    // The broker hears of rights a moment after they are granted.
    let deadline = Instant::now() + DEADLINE;
    let all = [described, readable, altered, absent].map(|topic| registry(topic)[0].clone());
    while broker.plan_topics(&all[1..]).await.is_err() {
        assert!(Instant::now() < deadline, "rights that were granted are not in force");
    }

    let error = broker.declare(&registry(hidden)).await.expect_err("it may not be asked for").to_string();
    assert!(error.contains(hidden) && error.contains("Describe"), "{error}");
    let error = broker.plan_topics(&registry(hidden)).await.expect_err("no plan").to_string();
    assert!(error.contains(hidden) && error.contains("grant it Describe"), "{error}");
    assert_plan_lacks(&broker, described, "DescribeConfigs").await;
    let plan = broker.plan_topics(&registry(readable)).await.expect("a plan");
    assert!(plan.iter().any(|change| matches!(change, Change::Set { .. })), "{plan:?}");
    assert_apply_lacks(&broker, readable, "Alter").await;
    let same_partitions = [Topic::new(readable, 1).setting("retention.ms", 86_400_000)];
    let error = broker.apply_topics(&same_partitions, false).await.expect_err("it may not").to_string();
    assert!(error.contains(readable) && error.contains("AlterConfigs on the topic"), "{error}");
    assert!(matches!(broker.plan_topics(&registry(absent)).await.expect("a plan")[..], [Change::Create(_)]));
    assert_apply_lacks(&broker, absent, "Create").await;
    let applied = broker.apply_topics(&registry(altered), true).await.expect("it has all rights");
    assert!(applied.iter().all(|(_, done)| *done == Applied::Done), "{applied:?}");
    assert_eq!(broker.plan_topics(&registry(altered)).await.expect("a plan"), []);

    // What was there is there, and what was declared is new in one topic only.
    for topic in there {
        let partitions = if topic == altered { 2 } else { 1 };
        let wanted = Topic::new(topic, partitions).setting("segment.ms", FOREIGN);
        assert_eq!(all_may.plan_topics(&[wanted]).await.expect("a plan"), [], "a setting was taken away");
    }
}
