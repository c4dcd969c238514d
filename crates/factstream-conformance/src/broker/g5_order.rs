//! G5: every message reaches its topic, and per key in the order in which it was published.

use super::support::{
    declared, join, key_of, message, numbered, numbers, publish, take, text_of, texts, unique, with_topic,
};
use crate::BrokerUnderTest;
use crate::support::at_once;
use factstream_core::message::Record;
use factstream_core::partition::partition_of;
use std::collections::{BTreeMap, HashMap};

/// The values of each key, in the order in which they came; every record must lie in its key's partition.
fn by_key(records: &[Record], partitions: u32) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in records {
        let key = key_of(record);
        let wanted = partition_of(key.as_bytes(), partitions);
        let found = &record.partition;
        assert_eq!(
            found.partition, wanted,
            "G5 is broken: key {key:?} is in {found}; murmur2 puts it in {wanted}"
        );
        keys.entry(key).or_default().push(text_of(record));
    }
    keys
}

/// The offsets of each partition must be 0, 1, 2, .. in the order in which they came.
fn assert_contiguous(records: &[Record]) {
    let mut next: HashMap<_, i64> = HashMap::new();
    for record in records {
        let wanted = next.entry(record.partition.clone()).or_default();
        assert_eq!(
            record.offset, *wanted,
            "G5 is broken: {} must go on at offset {wanted}",
            record.partition
        );
        *wanted += 1;
    }
}

/// Many keys, mixed, in several batches: each key in order, in the partition that murmur2 gives it.
pub async fn every_key_keeps_its_order_in_its_murmur2_partition(under_test: &dyn BrokerUnderTest) {
    for partitions in [1, 4, 7] {
        let (broker, topic) = with_topic(under_test, partitions).await;
        for batch in 0..5 {
            let number = |at: usize| batch * 4 + at / 30;
            let messages =
                (0..120).map(|at| message(&topic, format!("key-{}-ä", at % 30), number(at).to_string()));
            publish(&*broker, messages.collect()).await;
        }
        let mut member = join(&*broker, &unique("group"), &[&topic]).await;
        let records = take(member.as_mut(), 600).await;
        assert_contiguous(&records);
        let keys = by_key(&records, partitions);
        assert_eq!(keys.len(), 30, "G5 is broken: keys are missing or changed");
        for (key, values) in keys {
            assert_eq!(
                values,
                numbers(0, 20),
                "G5 is broken: key {key} is not in the order in which it was published"
            );
        }
    }
}

/// Several publishers at once, each with keys of its own, through two handles.
pub async fn publishers_of_different_keys_keep_the_order_of_each(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    let handles = [broker, under_test.open().await];
    at_once((0..8_usize).map(|publisher| {
        let (broker, topic) = (handles[publisher % 2].clone(), topic.clone());
        async move {
            let messages = numbered(&topic, &format!("key-{publisher}"), 60);
            for batch in messages.chunks(publisher + 1) {
                publish(&*broker, batch.to_vec()).await;
            }
        }
    }))
    .await;
    let mut member = join(&*handles[0], &unique("group"), &[&topic]).await;
    let records = take(member.as_mut(), 480).await;
    assert_contiguous(&records);
    for (key, values) in by_key(&records, 3) {
        assert_eq!(
            values,
            numbers(0, 60),
            "G5 is broken: {key} is not in the order in which it was published"
        );
    }
}

/// Offsets say the place in the partition, from 0, without gaps, whoever reads and however it is read.
pub async fn offsets_are_contiguous_from_zero(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    for key in 0..40 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 3)).await;
    }
    let mut whole = Vec::new();
    let mut member = join(&*broker, &unique("whole"), &[&topic]).await;
    whole.extend(take(member.as_mut(), 120).await);
    assert_contiguous(&whole);
    let mut pieces = Vec::new();
    let mut member = join(&*broker, &unique("pieces"), &[&topic]).await;
    while pieces.len() < 120 {
        let records = super::support::some(member.as_mut(), 7).await;
        super::support::commit(member.as_mut(), &records).await;
        pieces.extend(records);
    }
    assert_contiguous(&pieces);
    assert!(
        whole.iter().all(|record| record.partition.topic == topic && record.partition.partition < 3),
        "a partition beyond the topic's"
    );
    whole.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
    pieces.sort_by(|a, b| (&a.partition, a.offset).cmp(&(&b.partition, b.offset)));
    assert_eq!(pieces, whole, "G5 is broken: a group that reads in pieces sees other records");
}

/// A batch of thousands is not cut.
pub async fn a_large_batch_arrives_whole(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let messages = (0..5_000)
        .map(|number: usize| message(&topic, format!("key-{}", number % 2), (number / 2).to_string()));
    publish(&*broker, messages.collect()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    for (key, values) in by_key(&take(member.as_mut(), 5_000).await, 2) {
        assert_eq!(values, numbers(0, 2_500), "G5 is broken: {key} of a large batch");
    }
}

/// What `publish` acknowledged is durable.
pub async fn acknowledged_messages_are_there_after_reopening(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let all = numbered(&topic, "key", 20);
    publish(&*broker, all[..15].to_vec()).await;
    drop(broker);
    let broker = under_test.open().await;
    publish(&*broker, all[15..].to_vec()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let records = take(member.as_mut(), 20).await;
    assert_contiguous(&records);
    assert_eq!(
        texts(&records),
        numbers(0, 20),
        "G5 is broken: acknowledged messages are gone, or out of order"
    );
}

/// One batch may go to several topics.
pub async fn a_batch_for_several_topics_arrives_in_each(under_test: &dyn BrokerUnderTest) {
    let (broker, one) = with_topic(under_test, 2).await;
    let other = declared(&*broker, "more.events", 3).await;
    let messages = (0..100).map(|number: usize| {
        let topic = if number.is_multiple_of(2) { &one } else { &other };
        message(topic, "key", (number / 2).to_string())
    });
    publish(&*broker, messages.collect()).await;
    for topic in [&one, &other] {
        let mut member = join(&*broker, &unique("group"), &[topic]).await;
        let records = take(member.as_mut(), 50).await;
        assert!(records.iter().all(|record| record.partition.topic == *topic), "a record of another topic");
        assert_eq!(
            texts(&records),
            numbers(0, 50),
            "G5 is broken: a topic lacks messages of a batch for several topics"
        );
    }
}
