//! A record's time is that of its publishing, and no clock stops publishing.

use crate::support::{declare, join, message, number_of, open, read_until, unique};
use factstream_core::broker::{Broker, Topic};
use factstream_core::message::{Message, Record};
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use jiff::{SignedDuration, Timestamp};

const TYPE: &str = "message.timestamp.type";
/// Published by the second test.
const BATCHES: usize = 10;
/// Both clocks are this host's.
const SOON: SignedDuration = SignedDuration::from_secs(30);

/// Events of long ago, and of a clock that is ahead.
fn events(topic: &str) -> Vec<Message> {
    let hours = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
    let times = [hours(-30 * 24), hours(3), hours(0), hours(-1)].into_iter().enumerate();
    times
        .map(|(number, timestamp)| Message { timestamp, ..message(topic, "key", number.to_string()) })
        .collect()
}

async fn read(broker: &KafkaBroker, topic: &str, count: usize) -> Vec<Record> {
    let mut member = join(broker, &unique("group"), topic).await;
    read_until(member.as_mut(), |read| read.len() >= count).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_time_of_its_publishing_whatever_the_events_is() {
    let broker = open(&kafka::server());
    let ours = Topic::new(unique("events"), 1);
    let theirs = Topic::new(unique("events"), 1).setting(TYPE, "CreateTime");
    for topic in [ours, theirs] {
        declare(&broker, &topic).await;
        broker.publish(events(&topic.name)).await.expect("no time of an event stops publishing");
        for record in read(&broker, &topic.name, 4).await {
            let time = record.timestamp.expect("a time");
            assert!(Timestamp::now().duration_since(time).abs() < SOON, "{topic:?}: {time}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_this_hosts_clock_is_published_to_all_the_same() {
    let broker = open(&kafka::server());
    // No clock is so right that a message is not a millisecond old when it arrives.
    let strict = Topic::new(unique("strict"), 1)
        .setting(TYPE, "CreateTime")
        .setting("message.timestamp.before.max.ms", 0)
        .setting("message.timestamp.after.max.ms", 0);
    declare(&broker, &strict).await;
    for _ in 0..BATCHES {
        broker.publish(events(&strict.name)).await.expect("no clock stops publishing");
    }
    let records = read(&broker, &strict.name, BATCHES * 4).await;
    let numbers: Vec<usize> = records.iter().map(number_of).collect();
    assert_eq!(numbers, [0, 1, 2, 3].repeat(BATCHES), "in order, each once");
    let timeless = records.iter().filter(|record| record.timestamp.is_none()).count();
    assert!(timeless > 0, "the broker refused no time, so this has shown nothing");
}
