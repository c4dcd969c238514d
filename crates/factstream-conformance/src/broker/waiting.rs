//! Waiting: a poll that finds nothing waits as long as it may, and is woken by a publish.

use super::support::{
    commit, join, key_of, message, numbered, numbers, poll, publish, some, take, text_of, unique, with_topic,
};
use crate::BrokerUnderTest;
use crate::support::{joined, soon};
use factstream_core::broker::{Broker, Subscription};
use factstream_core::message::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How soon a publish must reach an empty poll.
const WOKEN_WITHIN: Duration = Duration::from_secs(2);

/// A member that has its partitions and has read everything.
async fn settled(broker: &dyn Broker, topic: &str) -> Box<dyn Subscription> {
    publish(broker, vec![message(topic, "key", "first")]).await;
    let mut member = join(broker, &unique("group"), &[topic]).await;
    take(member.as_mut(), 1).await;
    member
}

/// Nothing came: the answer is empty, after the time that was given, not much later.
pub async fn an_empty_poll_ends_with_its_time(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let mut member = settled(&*broker, &topic).await;
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        let start = Instant::now();
        let records = poll(member.as_mut(), 10, wait).await;
        let waited = start.elapsed();
        assert_eq!(records, [], "a poll gave records that nobody published");
        assert!(waited < wait + WOKEN_WITHIN, "a poll that may wait {wait:?} waited {waited:?}");
        assert!(
            waited + Duration::from_millis(50) >= wait,
            "a poll that may wait {wait:?} ended empty after {waited:?}"
        );
    }
}

/// Records that are there do not wait for more.
pub async fn records_that_are_there_are_given_at_once(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let mut member = settled(&*broker, &topic).await;
    publish(&*broker, numbered(&topic, "key", 3)).await;
    let start = Instant::now();
    let records = poll(member.as_mut(), 100, Duration::from_secs(25)).await;
    let waited = start.elapsed();
    assert!(!records.is_empty(), "a poll gave nothing, though records were there");
    assert!(waited < WOKEN_WITHIN, "a poll waited {waited:?} though records were there");
}

async fn assert_woken(reader: &dyn Broker, publisher: &dyn Broker, topic: &str) {
    let mut member = settled(reader, topic).await;
    for round in 0..3 {
        let waiting = tokio::spawn(async move {
            let records = poll(member.as_mut(), 10, Duration::from_secs(25)).await;
            (member, records, Instant::now())
        });
        // The empty poll of another group ends after the first has begun to wait.
        let mut other = join(reader, &unique("other"), &[topic]).await;
        take(other.as_mut(), 1 + round).await;
        poll(other.as_mut(), 10, Duration::from_millis(200)).await;
        publish(publisher, vec![message(topic, "key", round.to_string())]).await;
        let start = Instant::now();
        let records: Vec<Record>;
        let at;
        (member, records, at) = joined(waiting).await;
        assert_eq!(
            records.iter().map(text_of).collect::<Vec<_>>(),
            [round.to_string()],
            "what woke an empty poll"
        );
        let late = at.saturating_duration_since(start);
        assert!(late < WOKEN_WITHIN, "a publish woke an empty poll only after {late:?}");
        commit(member.as_mut(), &records).await;
    }
}

/// A publish through the same handle.
pub async fn a_publish_wakes_an_empty_poll(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    assert_woken(&*broker, &*broker, &topic).await;
}

/// A publish by another process.
pub async fn a_publish_by_another_handle_wakes_an_empty_poll(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 2).await;
    let other = under_test.open().await;
    assert_woken(&*broker, &*other, &topic).await;
}

/// Lets the others of this task be looked at so many times.
async fn looks(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// A poll that is cancelled before it answers has taken nothing: neither from the group nor from the member.
pub async fn a_poll_that_is_given_up_loses_nothing(under_test: &dyn BrokerUnderTest) {
    const ROUNDS: usize = 100;
    let (broker, topic) = with_topic(under_test, 4).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut see = |records: &[Record]| {
        for record in records {
            seen.entry(key_of(record)).or_default().push(text_of(record));
        }
        records.len()
    };
    let mut count = 0;
    for round in 0..ROUNDS {
        let batch = (0..8).map(|key| message(&topic, format!("key-{key}"), round.to_string())).collect();
        publish(&*broker, batch).await;
        // Given up after so many looks at it, so that it is caught at every point of its way.
        tokio::select! {
            biased;
            polled = member.poll(100, Duration::from_secs(5)) => {
                let records = polled.unwrap_or_else(|error| panic!("poll fails: {error}"));
                commit(member.as_mut(), &records).await;
                count += see(&records);
            }
            () = looks(round * 3) => {}
        }
    }
    let lost =
        "G5 is broken: records of a poll that was given up are lost to the member, or came out of order";
    while count < 8 * ROUNDS {
        let records = poll(member.as_mut(), 100, WOKEN_WITHIN).await;
        assert!(!records.is_empty(), "{lost}: {count} of {} came", 8 * ROUNDS);
        commit(member.as_mut(), &records).await;
        count += see(&records);
    }
    for (key, values) in seen {
        assert_eq!(values, numbers(0, ROUNDS), "{lost}: {key}");
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// A poll that is cancelled after its answer came, and before its caller looked at it, has taken nothing either.
pub async fn an_answer_that_nobody_reads_loses_nothing(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    let mut member = settled(&*broker, &topic).await;
    for round in 0..10 {
        let woken = Arc::new(Woken(Notify::new()));
        let waker = Waker::from(woken.clone());
        let mut polled = member.poll(100, Duration::from_secs(25));
        let first_look = polled.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(first_look.is_pending(), "an empty poll did not wait");
        publish(&*broker, numbered(&topic, "key", 3)).await;
        soon("an answer to the poll", woken.0.notified()).await;
        drop(polled);
        let records = take(member.as_mut(), 3).await;
        let values: Vec<String> = records.iter().map(text_of).collect();
        assert_eq!(values, numbers(0, 3), "G5 is broken: what a poll had answered is lost (round {round})");
    }
}

/// Records that are given back come next, in their order, before those that nobody has polled; each once.
pub async fn what_is_given_back_comes_next_and_once(under_test: &dyn BrokerUnderTest) {
    let (broker, topic) = with_topic(under_test, 1).await;
    publish(&*broker, numbered(&topic, "key", 40)).await;
    let mut member = join(&*broker, &unique("group"), &[&topic]).await;
    let mut records = Vec::new();
    while records.len() < 20 {
        records.extend(some(member.as_mut(), 20 - records.len()).await);
    }
    let rest = records.split_off(8);
    let given = rest.len();
    let done = soon("give_back", member.give_back(rest)).await;
    done.unwrap_or_else(|error| panic!("records cannot be given back: {error}"));
    commit(member.as_mut(), &records).await;
    while records.len() < 40 {
        records.extend(some(member.as_mut(), 10).await);
    }
    let found: Vec<String> = records.iter().map(text_of).collect();
    let all: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(found, all, "{given} records were given back");
    let more = poll(member.as_mut(), 10, Duration::from_millis(300)).await;
    assert_eq!(more, [], "a record came twice");
}
