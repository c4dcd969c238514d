//! The time of a record: that of its publishing, never its event's, for retention counts from it.
//!
//! Topics that we make have `message.timestamp.type=LogAppendTime`: the broker's clock says it. In a topic with `CreateTime` this
//! host's clock does, and a broker refuses a time that is too far from its own (`InvalidTimestamp`). Such a topic is then
//! given records without a time, which it never refuses and whose retention counts from the file's own time: a clock that is
//! wrong stops nobody.

use factstream_core::message::Message;
use factstream_core::sabotage::{Sabotage, is_on};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For Kafka, a record without a time.
const NO_TIME: i64 = -1;
/// So long a topic is given records without a time; the clock may be right by then.
const DOUBT: Duration = Duration::from_secs(600);

/// The topics that have refused this host's clock, and when.
#[derive(Default)]
pub(super) struct Clocks(Mutex<HashMap<String, Instant>>);

impl Clocks {
    /// The time to send a message with; `None` is this host's, at the sending.
    pub(super) fn time_of(&self, message: &Message) -> Option<i64> {
        if is_on(Sabotage::RecordTimeOfEvent) {
            return Some(message.timestamp.as_millisecond());
        }
        let refused = self.refused();
        if refused.is_empty() {
            return None;
        }
        refused.get(&message.topic).filter(|at| at.elapsed() < DOUBT).map(|_| NO_TIME)
    }

    /// Whether the topic may have refused a message for its time, and takes it without one.
    ///
    /// Of a message that was sent together with others, librdkafka tells only that it is not valid: that is taken for
    /// its time, until it is refused without one, too.
    pub(super) fn doubts(&self, error: &KafkaError, topic: &str) -> bool {
        use RDKafkaErrorCode::{InvalidDifferentRecord, InvalidRecord, InvalidTimestamp};
        let code = error.rdkafka_error_code();
        if !matches!(code, Some(InvalidTimestamp | InvalidRecord | InvalidDifferentRecord)) {
            return false;
        }
        let mut refused = self.refused();
        let is_doubted = refused.get(topic).is_some_and(|at| at.elapsed() < DOUBT);
        if is_doubted && code != Some(InvalidTimestamp) {
            refused.remove(topic);
            return false;
        }
        refused.insert(topic.to_owned(), Instant::now());
        if !is_doubted {
            tracing::warn!(
                topic,
                "the topic seems to refuse the time of this host's clock: its records are published without a time for now; \
                 set the clock right, or give the topic message.timestamp.type=LogAppendTime"
            );
        }
        true
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
