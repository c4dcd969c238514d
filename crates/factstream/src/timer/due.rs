//! A timer that is due, as an input of a handler: read from its row, or from the letter that it became.

use crate::error::Error;
use factstream_core::broker::Partition;
use factstream_core::context::Context;
use factstream_core::message::{Headers, Record};
use factstream_core::sql::Row;
use jiff::Timestamp;

/// What stands in the place of a topic in letters of timers; no topic of a broker can be called like this.
pub(crate) const TIMERS: &str = "fs:timer";

/// A timer that is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DueTimer {
    /// In whose order it is handled.
    pub(crate) key: String,
    pub(crate) name: String,
    /// By which it is known, as long as nobody sets it again.
    pub(crate) token: String,
    pub(crate) due_at: Timestamp,
    /// What the payload is, for whoever set it; empty where there is none.
    pub(crate) payload_type: String,
    /// JSON.
    pub(crate) payload: String,
    /// Who asked for it, in which conversation: the metadata of an event, as JSON.
    pub(crate) origin: String,
    pub(crate) set_at: Timestamp,
}

impl DueTimer {
    pub(super) fn of_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            key: row.get("timer_key")?,
            name: row.get("name")?,
            token: row.get("token")?,
            due_at: row.get("due_at")?,
            payload_type: row.get("payload_type")?,
            payload: row.get("payload")?,
            origin: row.get("origin")?,
            set_at: row.get("set_at")?,
        })
    }

    /// Whose request it goes on with.
    pub(crate) fn context(&self) -> Context {
        Context::of_metadata(serde_json::from_str(&self.origin).unwrap_or_default())
    }

    /// As it is kept among the letters.
    pub(crate) fn record(&self) -> Record {
        let headers = [
            ("timer_name", self.name.as_str()),
            ("timer_token", &self.token),
            ("timer_set_at", &self.set_at.to_string()),
            ("event_type", &self.payload_type),
            ("origin", &self.origin),
        ];
        Record {
            partition: Partition { topic: TIMERS.to_owned(), partition: 0 },
            offset: 0,
            key: Some(self.key.clone().into_bytes()),
            value: Some(self.payload.clone().into_bytes()),
            headers: headers.into_iter().collect::<Headers>(),
            timestamp: Some(self.due_at),
        }
    }

    /// The timer that a letter was; `None` when the letter is not one of a timer.
    pub(crate) fn of_record(record: &Record) -> Option<Self> {
        if record.partition.topic != TIMERS {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let header = |name| record.headers.get(name).map(text).unwrap_or_default();
        let due_at = record.timestamp.unwrap_or(Timestamp::UNIX_EPOCH);
        Some(Self {
            key: record.key.as_deref().map(text).unwrap_or_default(),
            name: header("timer_name"),
            token: header("timer_token"),
            due_at,
            payload_type: header("event_type"),
            payload: record.value.as_deref().map(text).unwrap_or_default(),
            origin: header("origin"),
            set_at: header("timer_set_at").parse().unwrap_or(due_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_of_a_timer_is_that_timer() {
        let at: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let timer = DueTimer {
            key: "order-1".into(),
            name: "payment".into(),
            token: "t-1".into(),
            due_at: at,
            payload_type: "remind".into(),
            payload: r#"{"text":"pay"}"#.into(),
            origin: r#"{"source":"shop","actor":"user-7"}"#.into(),
            set_at: at,
        };
        assert_eq!(DueTimer::of_record(&timer.record()), Some(timer.clone()));
        assert_eq!(timer.context(), Context::new().actor("user-7"));
    }
}
