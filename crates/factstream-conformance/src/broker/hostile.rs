//! Hostile input and limits: bytes are bytes, what does not exist is told, limits hold.

use super::support::{
    commit_at, declare, declared, join, key_of, message, numbered, numbers, poll, publish, some, take, texts,
    unique, with_topic,
};
use crate::BrokerUnderTest;
use crate::support::{at_once, soon};
use factstream_core::broker::{BrokerError, POLL_BYTES_MAX, Topic};
use factstream_core::message::{Headers, Message, Record};
use factstream_core::partition::partition_of;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// Key, value, headers (their order, repeats, bytes) and the time.
pub async fn bytes_arrive_as_they_were_sent(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let everything: Vec<u8> = (0..=255).collect();
    let long = vec![b'x'; 20_000];
    let headers: [(&str, &[u8]); 8] = [
        ("event_type", b"Happened"),
        ("binary", &everything),
        ("empty", &[]),
        ("twice", b"second"),
        ("twice", b"first"),
        ("name ä 😀 \"'\\", "wert ä 😀 \"'\\ {}[]".as_bytes()),
        ("not utf-8", &[0xff, 0xfe, 0x00, 0x80]),
        ("long", &long),
    ];
    let values: [Vec<u8>; 6] = [
        b"{}".to_vec(),
        everything.clone(),
        vec![],
        vec![0],
        "{\"a\": \"ä\\u00e4😀\"}\n".as_bytes().to_vec(),
        vec![0xff; 300],
    ];
    let time = |number: i64| Timestamp::from_microsecond(1_700_000_000_123_456 + number).expect("a time");
    let sent: Vec<Message> = (0..)
        .zip(values)
        .map(|(number, value)| Message {
            headers: if number == 3 { Headers::new() } else { headers.into_iter().collect() },
            timestamp: time(number),
            ..message(&topic, "key-ä-😀", value)
        })
        .collect();
    let before = Timestamp::now() - SignedDuration::from_secs(1);
    publish(&*broker, sent.clone()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let records = take(member.as_mut(), sent.len()).await;
    for (record, sent) in records.iter().zip(&sent) {
        let Record { key, value, headers, timestamp, .. } = record;
        assert_eq!(key.as_deref(), sent.key.as_deref(), "G12 is broken: a key's bytes came back changed");
        assert_eq!(
            value.as_deref(),
            sent.value.as_deref(),
            "G12 is broken: a value's bytes came back changed"
        );
        assert_eq!(headers, &sent.headers, "G12 is broken: headers came back changed, or in another order");
        if let Some(timestamp) = timestamp {
            // The time of publishing, never the event's: retention counts from it.
            let at_publish =
                before <= *timestamp && *timestamp <= Timestamp::now() + SignedDuration::from_secs(1);
            assert!(at_publish, "G5 is broken: a record's time {timestamp} is not that of the publish");
        }
    }
}

/// SQL, paths and lookalikes in keys and in the names of groups.
pub async fn odd_keys_and_groups_are_data(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    let odd = [
        "'; DROP TABLE fs_records; --",
        "\" OR 1=1",
        "$1",
        "%_",
        "../..",
        "a",
        "A",
        "a ",
        "ä",
        "a\u{308}",
        "😀",
        "{\"a\":1}",
    ];
    publish(&*broker, odd.iter().map(|key| message(&topic, *key, *key)).collect()).await;
    for name in ["'; DROP TABLE fs_group_offsets; --", "Group", "group", "ä 😀", "a/b"] {
        let group = unique(name);
        let mut member = join(&*broker, &group, &[&topic]).await;
        let mut found: Vec<String> = Vec::new();
        for record in take(member.as_mut(), odd.len()).await {
            let key = key_of(&record);
            assert_eq!(
                record.value.as_deref(),
                Some(key.as_bytes()),
                "a key and its value do not belong together"
            );
            assert_eq!(
                record.partition.partition,
                partition_of(key.as_bytes(), 3),
                "G5 is broken: key {key:?} in another partition"
            );
            found.push(key);
        }
        found.sort_unstable();
        let mut wanted = odd;
        wanted.sort_unstable();
        assert_eq!(found, wanted, "the keys that the group {group:?} saw");
        drop(member);
        let mut member = join(&*broker, &group, &[&topic]).await;
        let again = poll(member.as_mut(), 100, Duration::from_millis(200)).await;
        assert_eq!(again, [], "the group {group:?} has lost its commits");
    }
}

/// A value as large as brokers take by default.
pub async fn a_large_value_arrives(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let large = vec![0xa5; 900_000];
    publish(
        &*broker,
        vec![message(&topic, "key", "0"), message(&topic, "key", large.clone()), message(&topic, "key", "2")],
    )
    .await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let records = take(member.as_mut(), 3).await;
    assert!(records[1].value.as_ref() == Some(&large), "a large value came back changed");
    assert_eq!((records[0].offset, records[2].offset), (0, 2), "G5 is broken: order around a large value");
}

/// Neither publishing nor subscribing makes a topic; the error names it.
pub async fn an_unknown_topic_is_told(under_test: &dyn BrokerUnderTest) {
    let (broker, known) = with_topic(under_test, 1).await;
    let unknown = unique("unknown.events");
    for _ in 0..2 {
        let answer = soon("publish", broker.publish(vec![message(&unknown, "key", "0")])).await;
        let Err(error) = answer else { panic!("a publish to a topic that does not exist was accepted") };
        let told = matches!(&error.source, BrokerError::UnknownTopic { topic } if *topic == unknown);
        assert!(told && error.acknowledged == 0, "a publish to a topic that does not exist: {error:?}");
        for topics in [vec![unknown.clone()], vec![known.clone(), unknown.clone()]] {
            let answer = soon("subscribe", broker.subscribe(&unique("group"), &topics, &[])).await;
            let told = matches!(&answer, Err(BrokerError::UnknownTopic { topic }) if *topic == unknown);
            assert!(
                told,
                "a subscription to a topic that does not exist must be refused with its name: {:?}",
                answer.err()
            );
        }
    }
}

/// What is acknowledged of a batch that cannot be published whole is durable, from the first on, without holes.
pub async fn a_batch_with_an_unknown_topic_tells_what_is_durable(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let mut batch = numbered(&topic, "key", 10);
    batch[6].topic = unique("unknown.events");
    let answer = soon("publish", broker.publish(batch.clone())).await;
    let Err(error) = answer else { panic!("a batch with a topic that does not exist was accepted") };
    assert!(
        error.acknowledged <= 6,
        "message 6 cannot be published, but {} are acknowledged",
        error.acknowledged
    );
    // As the relay does, once the cause is mended: from the first that is not acknowledged.
    batch[6].topic.clone_from(&topic);
    publish(&*broker, batch[error.acknowledged..].to_vec()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let mut seen: Vec<String> = Vec::new();
    loop {
        let records = poll(
            member.as_mut(),
            100,
            Duration::from_millis(if seen.contains(&"9".to_owned()) { 100 } else { 2_000 }),
        )
        .await;
        if records.is_empty() && seen.contains(&"9".to_owned()) {
            break;
        }
        super::support::commit(member.as_mut(), &records).await;
        seen.extend(texts(&records));
    }
    assert_eq!(
        seen[seen.len() - (10 - error.acknowledged)..],
        numbers(error.acknowledged, 10),
        "G5 is broken: the repeat of a batch"
    );
    let mut firsts = Vec::new();
    for value in seen {
        if !firsts.contains(&value) {
            firsts.push(value);
        }
    }
    assert_eq!(firsts, numbers(0, 10), "G5 is broken: a message overtook another of its key, or was lost");
}

/// Declaring again, also with another number, changes nothing.
pub async fn a_topic_that_exists_keeps_its_partitions(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    let keys: Vec<String> = (0..40).map(|key| format!("key-{key}")).collect();
    publish(&*broker, keys.iter().map(|key| message(&topic, key.clone(), "0")).collect()).await;
    let other = under_test.open().await;
    for partitions in [3, 1, 8] {
        declare(&*broker, &Topic::new(&topic, partitions)).await;
        declare(&*other, &Topic::new(&topic, partitions)).await;
    }
    publish(&*broker, keys.iter().map(|key| message(&topic, key.clone(), "1")).collect()).await;
    publish(&*other, keys.iter().map(|key| message(&topic, key.clone(), "2")).collect()).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let records = take(member.as_mut(), 120).await;
    for record in &records {
        let key = key_of(record);
        let wanted = partition_of(key.as_bytes(), 3);
        assert_eq!(
            record.partition.partition, wanted,
            "G5 is broken: key {key} moved when its topic was declared again"
        );
    }
    for key in keys {
        let own: Vec<Record> = records.iter().filter(|record| key_of(record) == key).cloned().collect();
        assert_eq!(texts(&own), numbers(0, 3), "G5 is broken: {key} after its topic was declared again");
    }
}

/// Several processes that start together declare the same topics.
pub async fn topics_can_be_declared_by_many_at_once(under_test: &dyn BrokerUnderTest) {
    let handles = [under_test.open().await, under_test.open().await];
    let topics: Vec<Topic> = (0..5).map(|_| Topic::new(unique("events"), 2)).collect();
    at_once((0..8_usize).map(|process| {
        let (broker, mut topics) = (handles[process % 2].clone(), topics.clone());
        async move {
            topics.rotate_left(process % 5);
            let done = soon("declare", broker.declare(&topics)).await;
            done.unwrap_or_else(|error| panic!("topics that many declare at once: {error}"));
            for topic in topics {
                publish(&*broker, numbered(&topic.name, &format!("key-{process}"), 2)).await;
            }
        }
    }))
    .await;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let mut member = join(&*handles[0], &unique("group"), &names).await;
    assert_eq!(
        take(member.as_mut(), 80).await.len(),
        80,
        "G5 is broken: topics that many declared at once lack messages"
    );
}

/// `records_max` holds over all partitions and topics together, and small batches make up the whole.
pub async fn a_poll_gives_no_more_than_was_asked_for(under_test: &dyn BrokerUnderTest) {
    let (broker, one) = with_topic(under_test, 4).await;
    let two = declared(&*broker, "two.events", 3).await;
    for key in 0..20 {
        publish(&*broker, numbered(&one, &format!("key-{key}"), 5)).await;
        publish(&*broker, numbered(&two, &format!("key-{key}"), 5)).await;
    }
    for records_max in [1, 3, 64] {
        let mut member = join(&*broker, &unique("group"), &[&one, &two]).await;
        let mut seen = 0;
        while seen < 200 {
            // The limit itself is checked with every poll.
            let records = some(member.as_mut(), records_max).await;
            super::support::commit(member.as_mut(), &records).await;
            seen += records.len();
        }
        assert_eq!(seen, 200, "G5 is broken: small batches do not make up the whole");
    }
}

/// G13: however many records are asked for, one poll has a limit in bytes; none is skipped by it.
pub async fn of_large_records_few_are_given_at_once(under_test: &dyn BrokerUnderTest) {
    const LARGE: usize = 900_000;
    let (broker, topic) = with_topic(under_test, 2).await;
    for number in 0..24 {
        publish(&*broker, vec![message(&topic, format!("key-{}", number % 4), vec![number; LARGE])]).await;
    }
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let mut seen: Vec<u8> = Vec::new();
    while seen.len() < 24 {
        let records = some(member.as_mut(), 500).await;
        super::support::commit(member.as_mut(), &records).await;
        let bytes: usize = records.iter().map(Record::bytes).sum();
        assert!(bytes < POLL_BYTES_MAX + 2 * LARGE, "G13 is broken: one poll has {bytes} bytes");
        seen.extend(records.iter().filter_map(|record| record.value.as_ref()?.first().copied()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..24).collect::<Vec<u8>>(), "G5 is broken: of large records");
}

/// Nothing to publish, nothing to commit: fine.
pub async fn an_empty_batch_and_an_empty_commit_do_nothing(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    publish(&*broker, vec![]).await;
    let done = soon("declare", broker.declare(&[])).await;
    assert!(done.is_ok(), "declaring no topics: {done:?}");
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    commit_at(member.as_mut(), &[]).await;
    publish(&*broker, numbered(&topic, "key", 3)).await;
    assert_eq!(
        texts(&take(member.as_mut(), 3).await),
        numbers(0, 3),
        "G5 is broken: after an empty batch and an empty commit"
    );
}
