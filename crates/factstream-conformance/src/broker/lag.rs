//! Lag: how many records a group has not committed, and how old the oldest of them is.

use super::support::{
    commit, declared, join, lag_of, message, numbered, publish, some, take, unique, with_topic,
};
use crate::BrokerUnderTest;
use jiff::{SignedDuration, Timestamp};

/// All of a new group's records, then less with every commit, 0 at the end, and more again with every publish.
pub async fn lag_counts_what_is_not_committed(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 3).await;
    let group = unique("group");
    let lag = async |events| lag_of(&*broker, &group, &[&topic], events).await;
    assert_eq!(lag(0).await.oldest, None, "an empty topic has no oldest record");
    for key in 0..10 {
        publish(&*broker, numbered(&topic, &format!("key-{key}"), 3)).await;
    }
    // Nobody has joined the group yet.
    lag(30).await;
    let mut member = join(&*broker, &group, &[&topic]).await;
    let mut left = 30;
    while left > 0 {
        let records = some(member.as_mut(), 7).await;
        // A poll alone is no progress.
        lag(left).await;
        commit(member.as_mut(), &records).await;
        left -= records.len() as u64;
        lag(left).await;
    }
    assert_eq!(lag(0).await.oldest, None, "a group that has committed everything has no oldest record");
    publish(&*broker, numbered(&topic, "key", 2)).await;
    lag(2).await;
    drop(member);
    lag(2).await;
    let other = under_test.open().await;
    lag_of(&*other, &group, &[&topic], 2).await;
}

/// The oldest record that is not committed: its time.
pub async fn lag_tells_when_the_oldest_was_published(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let group = unique("group");
    let second = SignedDuration::from_secs(1);
    let before = Timestamp::now() - second;
    for number in 0..4 {
        publish(&*broker, vec![message(&topic, "key", number.to_string())]).await;
    }
    let mut member = join(&*broker, &group, &[&topic]).await;
    for left in (1..=4).rev() {
        let records = some(member.as_mut(), 1).await;
        let lag = lag_of(&*broker, &group, &[&topic], left).await;
        let oldest = lag.oldest.expect("the age of the oldest record is told, not how many wait alone");
        let now = Timestamp::now() + second;
        assert!(
            before <= oldest && oldest <= now,
            "the oldest record is told to be of {oldest}, now is {now}"
        );
        let published = records[0].timestamp.expect("a broker keeps the time of a record");
        let apart = oldest.duration_since(published).abs();
        let few = SignedDuration::from_millis(1);
        assert!(apart <= few, "the oldest is the record of {published}, but told to be of {oldest}");
        commit(member.as_mut(), &records).await;
    }
    let lag = lag_of(&*broker, &group, &[&topic], 0).await;
    assert_eq!(lag.oldest, None, "a group that has committed everything has no oldest record");
}

/// Another group's commits do not count; of the group's topics, those that are asked for do.
pub async fn lag_is_of_one_group_and_the_topics_asked_for(under_test: &dyn BrokerUnderTest) {
    let (broker, one) = with_topic(under_test, 2).await;
    let (two, unread) =
        (declared(&*broker, "two.events", 2).await, declared(&*broker, "unread.events", 2).await);
    for topic in [&one, &two, &unread] {
        publish(&*broker, numbered(topic, "key", 10)).await;
    }
    let (fast, slow) = (unique("fast"), unique("slow"));
    let mut member = join(&*broker, &fast, &[&one, &two]).await;
    take(member.as_mut(), 20).await;
    let mut member = join(&*broker, &slow, &[&one, &two]).await;
    some(member.as_mut(), 1).await;
    let wanted: [(&str, &[&str], u64); 7] = [
        (&fast, &[&one, &two], 0),
        (&fast, &[&unread], 10),
        (&fast, &[&one, &unread], 10),
        (&slow, &[&one, &two], 20),
        (&slow, &[&one], 10),
        (&slow, &[&one, &two, &unread], 30),
        (&slow, &[], 0),
    ];
    for (group, topics, events) in wanted {
        lag_of(&*broker, group, topics, events).await;
    }
}
