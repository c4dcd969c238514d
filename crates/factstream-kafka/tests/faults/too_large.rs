//! Messages that a topic does not take: told clearly, never overtaken by later ones of their key, and nothing else stops.

use crate::support::{
    DEADLINE, admin, declare, declared, join, message, number_of, open, read_until, relay, unique,
};
use factstream_core::broker::{Broker, BrokerError, Topic};
use factstream_core::message::Message;
use factstream_kafka::KafkaBroker;
use factstream_kafka::rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use factstream_tests::kafka;
use std::time::Duration;

const LIMIT: usize = 20_000;

/// A topic that takes only small messages.
async fn narrow(broker: &KafkaBroker) -> String {
    let topic = Topic::new(unique("narrow"), 1).setting("max.message.bytes", LIMIT);
    declare(broker, &topic).await;
    topic.name
}

fn assert_told(error: &BrokerError, topic: &str, key: &str, setting: &str) {
    let text = error.to_string();
    for part in [topic, &format!("{key:?}"), "bytes", setting] {
        assert!(text.contains(part), "{text:?} does not tell {part}");
    }
}

/// A message whose value is a number and then many blanks.
fn large(topic: &str, key: &str, number: usize, bytes: usize) -> Message {
    message(topic, key, format!("{number}{}", " ".repeat(bytes)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_clients_limit_is_told_and_stops_nothing_else() {
    let broker = open(&kafka::server());
    let topic = declared(&broker, 1).await;
    let batch = vec![
        message(&topic, "a", "0"),
        message(&topic, "large", vec![b'x'; 3_000_000]),
        message(&topic, "a", "1"),
    ];
    let error = broker.publish(batch).await.expect_err("it is too large");
    assert_eq!(error.acknowledged, 1);
    assert_told(&error.source, &topic, "large", "message.max.bytes");
    broker.publish(vec![message(&topic, "b", "2")]).await.expect("others go on");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 2).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), [0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_mebibyte_is_taken_as_brokers_take_it() {
    let broker = open(&kafka::server());
    let topic = declared(&broker, 1).await;
    broker.publish(vec![message(&topic, "a", vec![b'x'; 1_048_000])]).await.expect("it is small enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_topics_limit_is_told_and_is_not_overtaken_when_the_limit_is_raised() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, other) = (narrow(&broker).await, declared(&broker, 1).await);
    // Another publisher goes on all the time, on the same producer.
    let beside = tokio::spawn({
        let (broker, other) = (broker.clone(), other.clone());
        async move {
            for number in 0..200 {
                relay(&broker, vec![message(&other, "key", number.to_string())]).await;
            }
        }
    });
    // Many behind it are on their way when it is refused.
    let batch: Vec<Message> = (0..3_000)
        .map(|number| {
            if number == 40 {
                large(&topic, "key", number, 2 * LIMIT)
            } else {
                large(&topic, "key", number, 100)
            }
        })
        .collect();
    for _ in 0..3 {
        let error = broker.publish(batch.clone()).await.expect_err("it is too large");
        assert_eq!(error.acknowledged, 40, "{error}");
        assert_told(&error.source, &topic, "key", "max.message.bytes");
    }
    beside.await.expect("others go on");
    // Also when nobody is left to stop what is on its way; it has ended when a message behind it is there.
    let given_up = tokio::time::timeout(Duration::from_millis(1), broker.publish(batch.clone())).await;
    assert!(given_up.is_err(), "{given_up:?}");
    broker.publish(vec![message(&topic, "other", "0")]).await.expect("others go on");
    let raised = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "1000000");
    let raised = admin(&url).alter_configs(&[raised], &AdminOptions::new()).await.expect("it can be raised");
    assert!(raised.iter().all(Result::is_ok), "{raised:?}");
    relay(&broker, batch[40..].to_vec()).await;
    let mut member = join(&broker, &unique("group"), &topic).await;
    let read = read_until(member.as_mut(), |read| read.iter().any(|record| numbered(record) == 2_999)).await;
    let mut next = 0;
    for record in &read {
        assert!(numbered(record) <= next, "{} came before {next}", numbered(record));
        next = next.max(numbered(record) + 1);
    }
    assert_eq!(next, 3_000);
    let mut member = join(&broker, &unique("group"), &other).await;
    let read = read_until(member.as_mut(), |read| read.iter().any(|record| number_of(record) == 199)).await;
    let mut next = 0;
    for record in &read {
        assert!(number_of(record) <= next, "{} came before {next}", number_of(record));
        next = next.max(number_of(record) + 1);
    }
}

fn numbered(record: &factstream_core::message::Record) -> usize {
    let text = std::str::from_utf8(record.value.as_deref().unwrap_or_default()).expect("text");
    text.trim_end().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_messages_are_not_refused_for_being_sent_together() {
    let broker = open(&kafka::server());
    let topic = narrow(&broker).await;
    let batch: Vec<Message> = (0..500).map(|number| large(&topic, "key", number, 1_000)).collect();
    let published = tokio::time::timeout(DEADLINE, broker.publish(batch)).await.expect("in time");
    published.expect("none of them is too large");
    let mut member = join(&broker, &unique("group"), &topic).await;
    let read = read_until(member.as_mut(), |read| read.iter().any(|record| numbered(record) == 499)).await;
    let mut numbers: Vec<usize> = read.iter().map(numbered).collect();
    assert!(numbers.len() >= 500);
    numbers.dedup();
    assert!(numbers.is_sorted() || numbers.len() > 500, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_or_was_deleted_is_told() {
    let url = kafka::server();
    let broker = open(&format!("{url}?topic.metadata.propagation.max.ms=2000"));
    let error = broker.publish(vec![message("no.such.topic", "key", "1")]).await.expect_err("it is missing");
    assert!(
        matches!(&error.source, BrokerError::UnknownTopic { topic } if topic == "no.such.topic"),
        "{error}"
    );
    let topic = declared(&broker, 1).await;
    broker.publish(vec![message(&topic, "key", "1")]).await.expect("it is there");
    let deleted =
        admin(&url).delete_topics(&[&topic], &AdminOptions::new()).await.expect("it can be deleted");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let publishing = async {
        loop {
            if let Err(error) = broker.publish(vec![message(&topic, "key", "2")]).await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(DEADLINE, publishing).await.expect("it is told");
    assert!(matches!(&error.source, BrokerError::UnknownTopic { topic: told } if *told == topic), "{error}");
    let other = declared(&broker, 1).await;
    broker.publish(vec![message(&other, "key", "1")]).await.expect("others go on");
}
