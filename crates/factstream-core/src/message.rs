//! An event on the wire: topic, key, flat JSON value and headers. The contract with every other client of the topics.
//!
//! Key: the aggregate id. Value: `aggregate_id` and the event's own fields in one object. Headers (UTF-8): `event_id`,
//! `event_type`, `timestamp` (RFC 3339, UTC), `source`, `correlation_id`, `causation_id`, `aggregate_type`,
//! `aggregate_version`, `schema_version`, `position`, and W3C `traceparent`; and, where the request brought
//! them, `actor` and `attributes` (a JSON object of texts); and `causes` ([`Causes`](crate::causes::Causes)) of an event that others led to. A reader takes messages with only the first five of them. What it
//! makes of the key stands in [`order_key`](Record::order_key), of a missing or foreign `event_id` in [`Envelope::identity`].

mod headers;
mod unreadable;
mod texts;
mod asked;
mod time;
mod order_key;
pub(crate) mod identity;
mod reading;
mod own_fields;
mod decoded;

pub use decoded::Decoded;
pub use headers::Headers;
pub use unreadable::Unreadable;

use crate::envelope::{Metadata, RecordedEvent};
use crate::id::is_topic;
use crate::partition::Partition;
use crate::size::Size;
use crate::sql::format_timestamp;
use jiff::Timestamp;
use serde::ser::Error as _;
use std::fmt;
use uuid::Uuid;

#[cfg(doc)]
use crate::envelope::Envelope;

/// The topic that records are filed under which are events of the log itself: their values are the events' own fields, and
/// nothing else. No topic of a broker is called so.
pub const LOG: &str = "log";

/// The headers that are read.
const HEADERS: [&str; 11] = [
    "event_id",
    "event_type",
    "timestamp",
    "source",
    "correlation_id",
    "causation_id",
    "aggregate_type",
    "aggregate_version",
    "schema_version",
    "position",
    "traceparent",
];

/// Who asked for the event. Other teams may use this name for anything: what cannot be an actor is not read, and not in the way.
const ACTOR: &str = "actor";
/// What else came with the request, as a JSON object of texts. As with [`ACTOR`], anything else is not read.
const ATTRIBUTES: &str = "attributes";
/// The newest public causes. As with [`ACTOR`], anything else is not read.
const CAUSES: &str = "causes";
/// Of a record of the [`LOG`], which is only kept and never sent: the topic that the event was published to.
const TOPIC: &str = "topic";

/// A message to be published.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The key that fixes the partition and the order: the aggregate id. Never missing in what the relay publishes.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone, which the relay never publishes.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Headers,
    /// When the event was recorded. The record's own time is that of its publishing, which retention counts from; what is
    /// recorded here travels in the header `timestamp`.
    pub timestamp: Timestamp,
}

/// A message as it was read from a partition. Nothing in it is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub partition: Partition,
    /// Its place in the partition, from 0.
    pub offset: i64,
    /// The key, where it has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Headers,
    /// When it was published, where the broker knows.
    pub timestamp: Option<Timestamp>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, key, value, headers, timestamp } = self;
        f.debug_struct("Message")
            .field("topic", topic)
            .field("key", &key.as_ref().map(Size::of))
            .field("value", &value.as_ref().map(Size::of))
            .field("headers", headers)
            .field("timestamp", timestamp)
            .finish()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, offset, key, value, headers, timestamp } = self;
        f.debug_struct("Record")
            .field("partition", partition)
            .field("offset", offset)
            .field("key", &key.as_ref().map(Size::of))
            .field("value", &value.as_ref().map(Size::of))
            .field("headers", headers)
            .field("timestamp", timestamp)
            .finish()
    }
}

impl Message {
    /// The message of a recorded event; `None` when the event stays home.
    ///
    /// # Errors
    /// When the event's metadata or data is not what factstream writes.
    pub fn of(event: &RecordedEvent) -> Result<Option<Self>, serde_json::Error> {
        let mut metadata: Metadata = serde_json::from_str(&event.metadata)?;
        let Some(topic) = metadata.topic.take() else { return Ok(None) };
        if !is_topic(&topic) {
            return Err(serde_json::Error::custom(format!("{topic:?} is no topic's name")));
        }
        Ok(Some(Self {
            topic,
            key: Some(event.aggregate_id.clone().into_bytes()),
            value: Some(flat_value(&event.aggregate_id, &event.data)?.into_bytes()),
            headers: headers_with(event, &metadata),
            timestamp: event.timestamp,
        }))
    }
}

impl Message {
    /// The key as it may be shown.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }
}

/// The headers of a recorded event, public or private, as a record of the [`LOG`] has them. Metadata that cannot be read gives none of its
/// own headers.
pub fn headers(event: &RecordedEvent) -> Headers {
    let metadata: Metadata = serde_json::from_str(&event.metadata).unwrap_or_default();
    let mut headers = headers_with(event, &metadata);
    if let Some(topic) = &metadata.topic {
        headers.push(TOPIC, topic);
    }
    headers
}

fn headers_with(event: &RecordedEvent, metadata: &Metadata) -> Headers {
    let mut headers = Headers::with_capacity(HEADERS.len());
    headers.push("event_id", event.event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    headers.push("event_type", &event.event_type);
    headers.push("timestamp", format_timestamp(event.timestamp));
    headers.push("source", &metadata.source);
    if let Some(id) = &metadata.correlation_id {
        headers.push("correlation_id", id);
    }
    if let Some(id) = &metadata.causation_id {
        headers.push("causation_id", id);
    }
    headers.push("aggregate_type", &event.aggregate_type);
    headers.push("aggregate_version", event.version.to_string());
    headers.push("schema_version", event.schema_version.to_string());
    headers.push("position", event.position.to_string());
    if let Some(traceparent) = &metadata.traceparent {
        headers.push("traceparent", traceparent);
    }
    if let Some(actor) = &metadata.actor {
        headers.push(ACTOR, actor);
    }
    if !metadata.attributes.is_empty()
        && let Ok(json) = serde_json::to_string(&metadata.attributes)
    {
        headers.push(ATTRIBUTES, json);
    }
    if !metadata.causes.is_empty() {
        headers.push(CAUSES, metadata.causes.as_str());
    }
    headers
}

/// `{"aggregate_id":"..",` and then the event's own fields, to the letter.
fn flat_value(aggregate_id: &str, data: &str) -> Result<String, serde_json::Error> {
    let own = data
        .trim_start()
        .strip_prefix('{')
        .ok_or_else(|| serde_json::Error::custom("an event's data is one JSON object"))?;
    let comma = if own.trim_start().starts_with('}') { "" } else { "," };
    Ok(format!("{{\"aggregate_id\":{}{comma}{own}", serde_json::to_string(aggregate_id)?))
}

impl Record {
    /// How many bytes its key, value and headers have.
    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        of(&self.key) + of(&self.value) + self.headers.bytes()
    }

    /// The topic that it was published to; `None` of a record of the [`LOG`] that stays home.
    pub fn topic(&self) -> Option<&str> {
        match self.partition.topic.as_str() {
            LOG => self.header(TOPIC),
            topic => Some(topic),
        }
    }

    /// The first header of this name, as text: UTF-8 without a NUL, which no database text may hold.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?).ok().filter(|text| !text.contains('\0'))
    }
}

#[cfg(test)]
mod tests;
