//! Which events a store takes: those that every reader can read and the relay can publish.
//!
//! Invariant: every engine asks here before it appends, whatever way the events came (a command, a transaction, the port
//! itself). One that was written by other means all the same becomes a letter of the relay's.

use crate::envelope::{NewEvent, StreamId};
use crate::id::is_topic;
use crate::sql::has_nanoseconds;
use crate::store::{Append, StoreError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// The most bytes of one event's data and metadata, unless an application says otherwise: what Kafka takes by default in one
/// message (`message.max.bytes`, 1 MiB), with room for its headers.
pub const EVENT_BYTES_MAX: usize = 1_000_000;

/// The parts of [`Metadata`](crate::envelope::Metadata) that a reader relies on, as they may stand.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it is only read whether they are text")]
struct Readable<'a> {
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    correlation_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    causation_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    topic: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    traceparent: Option<Cow<'a, str>>,
}

/// Refuses events that could not be read or published.
///
/// # Errors
/// [`StoreError::Unrecordable`], which names the first of them and says what to do.
pub fn check<'a>(appends: impl IntoIterator<Item = &'a Append>, bytes_max: usize) -> Result<(), StoreError> {
    for Append { stream, events, .. } in appends {
        for event in events {
            check_event(event, bytes_max).map_err(|reason| refused(stream, event, reason))?;
        }
    }
    Ok(())
}

fn refused(stream: &StreamId, event: &NewEvent, reason: String) -> StoreError {
    StoreError::Unrecordable { event_type: event.event_type.clone(), stream: stream.to_string(), reason }
}

fn check_event(event: &NewEvent, bytes_max: usize) -> Result<(), String> {
    let bytes = event.data.len() + event.metadata.len();
    if bytes > bytes_max {
        return Err(format!(
            "it has {bytes} bytes, and at most {bytes_max} are taken; keep what is large elsewhere and its address in the event, \
             or raise Builder::event_bytes_max (and on Kafka message.max.bytes of the URL, the topic and the cluster)"
        ));
    }
    if has_nanoseconds(event.timestamp) {
        return Err(
            "its timestamp has nanoseconds, and microseconds are kept; take it from sql::now()".into()
        );
    }
    if !event.data.is_recordable() {
        check_data(&event.data)?;
    }
    if event.metadata.is_recordable() {
        return Ok(());
    }
    match serde_json::from_str::<Readable<'_>>(&event.metadata) {
        Ok(Readable { topic: Some(topic), .. }) if !is_topic(&topic) => Err(format!(
            "its metadata names the topic {topic:?}; a topic's name has 1 to 249 letters, digits, '.', '_' or '-'"
        )),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("its metadata is not what factstream reads (envelope::Metadata): {error}")),
    }
}

fn check_data(data: &str) -> Result<(), String> {
    if !data.trim_ascii_start().starts_with('{') {
        return Err("its data is not a JSON object; put the value into a field".into());
    }
    match serde_json::from_str::<IgnoredAny>(data) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(format!("its data is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::now;
    use uuid::Uuid;

    fn refusal(data: &str, metadata: &str) -> Option<String> {
        let event = NewEvent {
            event_id: Uuid::from_u128(1),
            event_type: "Happened".into(),
            schema_version: 1,
            data: data.into(),
            metadata: metadata.into(),
            timestamp: now(),
        };
        check_event(&event, 200).err()
    }

    #[test]
    fn what_could_not_be_read_or_published_is_refused_with_advice() {
        let source = r#"{"source":"test"}"#;
        for data in ["{}", " \n{\"a\": 1}\n", r#"{"lone":"\ud83d"}"#] {
            assert_eq!(refusal(data, source), None, "{data}");
        }
        for data in ["", "[]", "null", "1", "\"{}\"", "{", "{}x", "{\"a\":}", "{'a':1}"] {
            assert!(refusal(data, source).is_some(), "{data}");
        }
        for metadata in ["{}", r#"{"source":"a","topic":"orders.events","more":[1]}"#, r#"{"topic":null}"#] {
            assert_eq!(refusal("{}", metadata), None, "{metadata}");
        }
        for metadata in ["", "null", "{", r#"{"source":5}"#, r#"{"topic":"a b"}"#, r#"{"topic":""}"#] {
            assert!(refusal("{}", metadata).is_some(), "{metadata}");
        }
        let large = refusal(&format!(r#"{{"a":"{}"}}"#, "x".repeat(200)), source).unwrap();
        assert!(large.contains("at most 200") && large.contains("event_bytes_max"), "{large}");
    }
}
