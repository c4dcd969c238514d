//! A topic that is deleted and made again while a member reads it: librdkafka reads on at the old offset, in the middle of the new
//! topic. It reads by the topic's id, so it has no record of the new one before it has learned the new id. It says so in a line of its log,
//! which lies before those records in the queue that `poll` serves.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The topics of which one broker's handle has seen that they were made again, or that they end before the place of a group. A group's
/// offset there may be one of the old topic: Kafka deletes those with it, but takes what a member commits later.
#[derive(Clone, Default)]
pub(crate) struct MadeAgain(Arc<Mutex<HashSet<String>>>);

impl MadeAgain {
    pub(crate) fn note(&self, topic: &str) {
        self.topics().insert(topic.to_owned());
    }

    pub(crate) fn contains(&self, topic: &str) -> bool {
        self.topics().contains(topic)
    }

    fn topics(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a topic that librdkafka has not seen yet.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The topic of which a line of librdkafka's log says that it was made again.
pub(crate) fn topic(line: &str) -> Option<&str> {
    let (_, line) = line.split_once("Topic ")?;
    let (topic, ids) = line.split_once(" changed id from ")?;
    let (old, _) = ids.split_once(" to ")?;
    (old != NO_ID).then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_topic_that_was_seen_before_was_made_again() {
        let line =
            |old| format!("[thrd:main]: Topic orders.events changed id from {old} to 0dVrXzZLQBGhSyg6tQ5A1w");
        assert_eq!(topic(&line("kDrqDWXkTZyyHYDFV2pTKg")), Some("orders.events"));
        assert_eq!(topic(&line(NO_ID)), None);
        assert_eq!(topic("[thrd:main]: Topic orders.events [0] Leader 1 Epoch 0"), None);
    }
}
