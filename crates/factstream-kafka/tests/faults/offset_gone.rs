//! Records that were deleted before a group had read them: it halts and says so, and never jumps over them.

use crate::support::{
    DEADLINE, POLL, commit_as_other_tool, declare_anew, declared, delete_records, delete_topic, forget_group,
    join, join_with_stored, lag_becomes, message, number_of, open, read_until, relay, unique,
};
use factstream_core::broker::{Broker, BrokerError, Partition, Stored, Subscription};
use factstream_kafka::KafkaBroker;
use factstream_tests::kafka;
use std::time::Instant;

/// Polls until an error comes.
async fn failure(member: &mut dyn Subscription) -> BrokerError {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match member.poll(500, POLL).await {
            Err(error) => return error,
            Ok(records) => assert!(records.is_empty(), "it jumped to {:?}", records[0].offset),
        }
        assert!(Instant::now() < deadline, "no error comes");
    }
}

fn assert_gone(error: &BrokerError, wanted_committed: i64, wanted_oldest: i64) {
    let BrokerError::OffsetGone { partition, committed, oldest } = error else { panic!("{error}") };
    assert_eq!((partition.partition, *committed, *oldest), (0, wanted_committed, wanted_oldest), "{error}");
}

async fn publish(url: &str, topic: &str, from: usize, to: usize) {
    relay(&open(url), (from..to).map(|number| message(topic, "key", number.to_string())).collect()).await;
}

/// A topic with ten records, and a group that has read them and has no member now.
async fn read_ten(url: &str, broker: &KafkaBroker) -> (String, String) {
    let (topic, group) = (declared(broker, 1).await, unique("group"));
    publish(url, &topic, 0, 10).await;
    let mut member = join(broker, &group, &topic).await;
    read_until(member.as_mut(), |read| read.len() == 10).await;
    (topic, group)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_next_records_were_deleted_halts_and_a_new_group_starts_at_the_oldest() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    publish(&url, &topic, 10, 30).await;
    delete_records(&url, &topic, 20).await;
    for _ in 0..2 {
        let looked = broker.check_group(&group, std::slice::from_ref(&topic), &[]).await;
        assert_gone(&looked.expect_err("it cannot go on"), 10, 20);
        let mut member = join(&broker, &group, &topic).await;
        assert_gone(&failure(member.as_mut()).await, 10, 20);
        assert_gone(&failure(member.as_mut()).await, 10, 20); // and keeps saying so
    }
    let mut member = join(&broker, &unique("new"), &topic).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 10).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), (20..30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_at_the_oldest_record_left_goes_on() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    delete_records(&url, &topic, 10).await;
    let mut member = join(&broker, &group, &topic).await;
    publish(&url, &topic, 10, 11).await;
    let records = read_until(member.as_mut(), |read| !read.is_empty()).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), [10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_reads_too_slowly_for_the_retention_halts() {
    let url = kafka::server();
    // So few are fetched ahead that the rest lies with the broker when it is deleted.
    let slow = open(&format!("{url}?fetch.message.max.bytes=20000&queued.min.messages=1"));
    let topic = declared(&slow, 1).await;
    let messages = (0..200).map(|_| message(&topic, "key", vec![b'x'; 10_000]));
    relay(&slow, messages.collect()).await;
    let mut member = join(&slow, &unique("group"), &topic).await;
    let deadline = Instant::now() + DEADLINE;
    let mut next = 0;
    while next == 0 {
        assert!(Instant::now() < deadline, "nothing comes");
        let records = member.poll(1, POLL).await.expect("a record");
        member.commit(&crate::support::after(&records)).await.expect("a commit");
        next = records.last().map_or(0, |record| record.offset + 1);
    }
    delete_records(&url, &topic, 199).await;
    let error = loop {
        assert!(Instant::now() < deadline, "no error comes");
        match member.poll(10, POLL).await {
            Err(error) => break error,
            Ok(records) => {
                for record in records {
                    assert_eq!(record.offset, next, "it jumped");
                    next += 1;
                }
            }
        }
    };
    assert_gone(&error, next, 199);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_beyond_the_end_of_a_topic_that_was_made_anew_halts() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    // The offset that a group has of the topic goes with it; so the group is put where it was by hand.
    delete_topic(&url, &topic).await;
    declare_anew(&url, &topic).await;
    let broker = open(&url);
    publish(&url, &topic, 0, 3).await;
    let mut member = join(&broker, &group, &topic).await;
    read_until(member.as_mut(), |read| read.len() == 3).await;
    member.commit(&[(Partition { topic: topic.clone(), partition: 0 }, 10)]).await.expect("a commit");
    drop(member);
    let mut member = join(&broker, &group, &topic).await;
    for _ in 0..2 {
        assert_beyond_end(&failure(member.as_mut()).await, &topic);
    }
}

fn assert_beyond_end(error: &BrokerError, topic: &str) {
    assert!(matches!(error, BrokerError::OffsetBeyondEnd { next: 10, end: 3, .. }), "{error:?}");
    let error = error.to_string();
    let said =
        ["/0", "next offset is 10", "ends at 3", "handlers reset"].iter().all(|text| error.contains(text));
    assert!(said && error.contains(topic), "{error}");
}

fn at_ten(topic: &str) -> [Stored; 1] {
    [Stored::from((Partition { topic: topic.to_owned(), partition: 0 }, 10))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_kafka_has_forgotten_goes_on_at_the_stored_offset_and_tells_a_gap() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    forget_group(&url, &group).await;
    lag_becomes(&broker, &group, &topic, 10).await;
    let mut member = join_with_stored(&broker, &group, &topic, &at_ten(&topic)).await;
    // All is handled; nothing more has to come for the cluster to know where the group stands.
    tokio::select! {
        () = lag_becomes(&broker, &group, &topic, 0) => {}
        never = read_until(member.as_mut(), |read| !read.is_empty()) => panic!("records come again: {never:?}"),
    }
    publish(&url, &topic, 10, 30).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 20).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), (10..30).collect::<Vec<_>>());
    drop(member);
    forget_group(&url, &group).await;
    delete_records(&url, &topic, 20).await;
    let mut member = join_with_stored(&broker, &group, &topic, &at_ten(&topic)).await;
    for _ in 0..2 {
        let error = failure(member.as_mut()).await;
        assert_gone(&error, 10, 20);
        assert!(error.to_string().contains("10 records were deleted unread"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_stored_offset_is_of_a_topic_that_was_made_again_halts() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    delete_topic(&url, &topic).await; // its group's offsets go with it
    declare_anew(&url, &topic).await;
    publish(&url, &topic, 0, 3).await;
    let mut member = join_with_stored(&broker, &group, &topic, &at_ten(&topic)).await;
    for _ in 0..2 {
        assert_beyond_end(&failure(member.as_mut()).await, &topic);
    }
}

/// It has grown beyond the stored offset by then, so only the records' times tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_longer_topic_that_was_made_again_is_read_from_its_beginning() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    let [stored] = at_ten(&topic);
    let stored = Stored { newest: Some(jiff::Timestamp::now()), ..stored };
    let mut member = join_with_stored(&broker, &unique("group"), &topic, std::slice::from_ref(&stored)).await;
    assert!(member.poll(100, POLL).await.unwrap().is_empty(), "it is the same topic: nothing is read again");
    drop(member);
    delete_topic(&url, &topic).await;
    declare_anew(&url, &topic).await;
    publish(&url, &topic, 0, 20).await;
    let mut member = join_with_stored(&broker, &group, &topic, &[stored]).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 20).await;
    assert_eq!(records.len(), 20);
}

/// A group whose stored offset is of a topic that is gone, and when the last record was read there.
fn stored_at_ten(topic: &str) -> [Stored; 1] {
    at_ten(topic).map(|stored| Stored { newest: Some(jiff::Timestamp::now()), ..stored })
}

/// A member that goes on at ten finds the topic empty, says so, and leaves.
async fn halts_at_an_empty_topic(broker: &KafkaBroker, group: &str, topic: &str, stored: &[Stored]) {
    let mut member = join_with_stored(broker, group, topic, stored).await;
    let error = failure(member.as_mut()).await;
    assert!(matches!(error, BrokerError::OffsetBeyondEnd { next: 10, end: 0, .. }), "{error}");
    drop(member);
    broker.until_left().await;
}

/// It halts while the new topic is empty, and what it has tried then says nothing of where it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_and_was_empty_yet_is_read_from_its_first_record() {
    let url = kafka::server();
    let broker = open(&url);
    let (topic, group) = read_ten(&url, &broker).await;
    let stored = stored_at_ten(&topic);
    delete_topic(&url, &topic).await;
    declare_anew(&url, &topic).await;
    halts_at_an_empty_topic(&broker, &group, &topic, &stored).await;
    publish(&url, &topic, 0, 20).await;
    // The process that halted, and one that begins now.
    for broker in [broker, open(&url)] {
        broker.check_group(&group, std::slice::from_ref(&topic), &stored).await.expect("it can go on");
        let mut member = join_with_stored(&broker, &group, &topic, &stored).await;
        let records = loop {
            let records = member.poll(500, POLL).await.expect("records");
            if !records.is_empty() {
                break records;
            }
        };
        assert_eq!(records[0].offset, 0, "it jumped");
        drop(member);
        broker.until_left().await;
    }
}

/// A group that committed late, so that Kafka has an offset of the topic that is gone: noticed where the new one ends before it.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_end_is_not_gone_on_at_when_the_topic_has_grown_past_it() {
    let url = kafka::server();
    let (topic, group) = read_ten(&url, &open(&url)).await;
    let stored = stored_at_ten(&topic);
    delete_topic(&url, &topic).await;
    declare_anew(&url, &topic).await;
    commit_as_other_tool(&url, &group, &topic, 10, "").await;
    let broker = open(&url);
    halts_at_an_empty_topic(&broker, &group, &topic, &stored).await;
    publish(&url, &topic, 0, 20).await;
    broker.check_group(&group, std::slice::from_ref(&topic), &stored).await.expect("it can go on");
    let mut member = join_with_stored(&broker, &group, &topic, &stored).await;
    let records = read_until(member.as_mut(), |read| read.len() >= 20).await;
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}
