//! An event on the wire: topic, key, flat JSON value and headers. The contract with every other client of the topics.
//!
//! Key: the aggregate id. Value: `aggregate_id` and the event's own fields in one object. Headers (UTF-8): `event_id`,
//! `event_type`, `timestamp` (RFC 3339, UTC), `source`, `correlation_id`, `causation_id`, `aggregate_type`,
//! `aggregate_version`, `schema_version`, `position`, and W3C `traceparent`. A reader takes messages with only the first
//! five of them, and gives one without `event_id` the identity topic/partition/offset.

mod headers;

pub use headers::Headers;

use crate::envelope::{Envelope, ID_BYTES_MAX, Metadata, RecordedEvent, check_id};
use crate::partition::Partition;
use crate::sql::format_timestamp;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Deserialize;
use uuid::Uuid;

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

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The key that fixes the partition and the order: the aggregate id. Never missing in what the relay publishes.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone, which the relay never publishes.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Headers,
    /// When the event was recorded.
    pub timestamp: Timestamp,
}

/// A message as it was read from a partition. Nothing in it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Message {
    /// The message of a recorded event; `None` when the event stays home.
    ///
    /// # Errors
    /// When the event's metadata or data is not what factstream writes.
    pub fn of(event: &RecordedEvent) -> Result<Option<Self>, serde_json::Error> {
        let mut metadata: Metadata = serde_json::from_str(&event.metadata)?;
        let Some(topic) = metadata.topic.take() else { return Ok(None) };
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

/// The headers of a recorded event, public or private. Metadata that cannot be read gives none of its own headers.
pub fn headers(event: &RecordedEvent) -> Headers {
    headers_with(event, &serde_json::from_str(&event.metadata).unwrap_or_default())
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
    headers
}

/// `{"aggregate_id":"..",` and then the event's own fields, to the letter.
fn flat_value(aggregate_id: &str, data: &str) -> Result<String, serde_json::Error> {
    use serde::ser::Error as _;
    let own = data
        .trim_start()
        .strip_prefix('{')
        .ok_or_else(|| serde_json::Error::custom("an event's data is one JSON object"))?;
    let comma = if own.trim_start().starts_with('}') { "" } else { "," };
    Ok(format!("{{\"aggregate_id\":{}{comma}{own}", serde_json::to_string(aggregate_id)?))
}

impl Record {
    /// The identity that a record without `event_id` gets.
    pub fn origin(&self) -> String {
        format!("{}/{}", self.partition, self.offset)
    }

    /// How many bytes its key, value and headers have.
    pub fn bytes(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        of(&self.key) + of(&self.value) + self.headers.bytes()
    }

    /// The first header of this name, as text: UTF-8 without a NUL, which no database text may hold.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?).ok().filter(|text| !text.contains('\0'))
    }

    /// The key in whose order it is handled, also when nothing else can be read: the record's key, else its partition.
    pub fn order_key(&self) -> String {
        match self.key.as_deref().map(std::str::from_utf8) {
            Some(Ok(key)) if check_id("key", key).is_ok() => key.to_owned(),
            Some(_) => format!("key of {}", self.origin()),
            None => self.value_aggregate_id().unwrap_or_else(|| self.partition.to_string()),
        }
    }

    fn value_aggregate_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Value {
            aggregate_id: String,
        }
        let value: Value = serde_json::from_slice(self.value.as_deref()?).ok()?;
        check_id("aggregate_id", &value.aggregate_id).is_ok().then_some(value.aggregate_id)
    }

    /// The envelope and the JSON text of the value.
    ///
    /// # Errors
    /// [`Unreadable`]: the record becomes a dead letter, bytes intact (G12).
    pub fn envelope(&self) -> Result<Envelope<&str>, Unreadable> {
        let headers = Texts::of(&self.headers)?;
        let event_type = headers.text("event_type").ok_or(Unreadable::NoHeader { header: "event_type" })?;
        if check_id("event_type", event_type).is_err() {
            return Err(Unreadable::BadHeader { header: "event_type", value: shorten(event_type) });
        }
        let value = self.value.as_deref().ok_or(Unreadable::NoValue)?;
        let event = std::str::from_utf8(value).map_err(|_| Unreadable::NotUtf8)?;
        let aggregate_id = match &self.key {
            Some(_) => self.order_key(),
            None => self.value_aggregate_id().ok_or(Unreadable::NoKey)?,
        };
        let event_id = match headers.text("event_id") {
            Some(id) if check_id("event_id", id).is_ok() => id.to_owned(),
            Some(id) => return Err(Unreadable::BadHeader { header: "event_id", value: shorten(id) }),
            None => self.origin(),
        };
        let timestamp = match headers.text("timestamp") {
            Some(text) => parse_timestamp(text)
                .ok_or_else(|| Unreadable::BadHeader { header: "timestamp", value: shorten(text) })?,
            None => self.timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let owned = |name| headers.text(name).map(str::to_owned);
        Ok(Envelope {
            event,
            event_id,
            event_type: event_type.to_owned(),
            schema_version: headers.number("schema_version")?.unwrap_or(1),
            aggregate_id,
            aggregate_type: owned("aggregate_type"),
            version: headers.number("aggregate_version")?,
            position: headers.number("position")?,
            timestamp,
            source: owned("source").unwrap_or_default(),
            correlation_id: owned("correlation_id"),
            causation_id: owned("causation_id"),
            traceparent: owned("traceparent"),
        })
    }
}

/// The headers that are read, the first of each name, as text: UTF-8 without a NUL, which no database text may hold.
struct Texts<'r>([Option<&'r str>; HEADERS.len()]);

impl<'r> Texts<'r> {
    /// Refuses bytes that are not text in any header, and a NUL in one of ours; in theirs it is their own.
    fn of(headers: &'r Headers) -> Result<Self, Unreadable> {
        let mut texts = [None; HEADERS.len()];
        for (name, value) in headers.iter() {
            let Ok(text) = std::str::from_utf8(value) else {
                return Err(Unreadable::HeaderNotUtf8 { header: shorten(name) });
            };
            let ours = HEADERS.iter().zip(&mut texts).find(|(header, _)| **header == name);
            if let Some((header, place @ None)) = ours {
                if value.contains(&0) {
                    return Err(Unreadable::BadHeader { header, value: shorten(text) });
                }
                *place = Some(text);
            }
        }
        Ok(Self(texts))
    }

    fn text(&self, name: &str) -> Option<&'r str> {
        let (_, text) = HEADERS.iter().zip(&self.0).find(|(header, _)| **header == name)?;
        *text
    }

    fn number<N: std::str::FromStr>(&self, header: &'static str) -> Result<Option<N>, Unreadable> {
        let Some(text) = self.text(header) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Unreadable::BadHeader { header, value: shorten(text) })
    }
}

/// A time with a zone, or without one and then UTC.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

fn shorten(text: &str) -> String {
    text.chars().take(ID_BYTES_MAX).collect()
}

/// Why a record cannot be read. Never retried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A header that must be there is not.
    #[error("the message has no {header} header")]
    NoHeader {
        /// The header.
        header: &'static str,
    },
    /// A header's bytes are not text.
    #[error("the header {header:?} is not UTF-8")]
    HeaderNotUtf8 {
        /// The header.
        header: String,
    },
    /// A header does not hold what it must.
    #[error("the header {header} holds {value:?}, which is not a valid {header}")]
    BadHeader {
        /// The header.
        header: &'static str,
        /// Its text.
        value: String,
    },
    /// A tombstone.
    #[error("the message has no value (a tombstone)")]
    NoValue,
    /// The value's bytes are not text.
    #[error("the message's value is not UTF-8")]
    NotUtf8,
    /// Neither a key nor an aggregate id.
    #[error("the message has neither a key nor an aggregate_id in its value")]
    NoKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(data: &str) -> RecordedEvent {
        let metadata =
            r#"{"source":"order","correlation_id":"k","causation_id":"c","topic":"orders.events"}"#;
        RecordedEvent {
            position: 7,
            aggregate_type: "order".into(),
            aggregate_id: "o-\"1".into(),
            version: 2,
            event_id: Uuid::from_u128(1),
            event_type: "OrderShipped".into(),
            schema_version: 1,
            data: data.into(),
            metadata: metadata.into(),
            timestamp: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    fn record(message: Message) -> Record {
        Record {
            partition: Partition { topic: message.topic, partition: 3 },
            offset: 11,
            key: message.key,
            value: message.value,
            headers: message.headers,
            timestamp: Some(message.timestamp),
        }
    }

    fn published() -> Record {
        record(Message::of(&recorded(r#"{"tracking_number":"TN"}"#)).unwrap().expect("public"))
    }

    fn keep(record: &mut Record, is_kept: impl Fn(&str) -> bool) {
        record.headers = record.headers.iter().filter(|(name, _)| is_kept(name)).collect();
    }

    #[test]
    fn a_published_event_is_read_back_whole() {
        let event = recorded(r#"{"tracking_number":"TN"}"#);
        let record = published();
        let envelope = record.envelope().unwrap();
        assert_eq!(envelope.event, r#"{"aggregate_id":"o-\"1","tracking_number":"TN"}"#);
        assert_eq!(envelope.clone().with(()), event.envelope().unwrap());
    }

    #[test]
    fn an_event_without_fields_has_just_its_aggregate_id() {
        let message = Message::of(&recorded("{}")).unwrap().expect("public");
        assert_eq!(message.value.as_deref(), Some(br#"{"aggregate_id":"o-\"1"}"#.as_slice()));
    }

    #[test]
    fn five_headers_of_a_foreign_producer_are_enough_and_a_zoneless_time_is_utc() {
        let mut record = published();
        keep(&mut record, |name| ["event_id", "event_type", "source", "correlation_id"].contains(&name));
        record.headers.push("timestamp", "2026-01-02T03:04:05.678");
        let envelope = record.envelope().unwrap();
        assert_eq!(envelope.timestamp, "2026-01-02T03:04:05.678Z".parse::<Timestamp>().unwrap());
        assert_eq!((envelope.schema_version, envelope.version, envelope.position), (1, None, None));
    }

    #[test]
    fn a_message_without_event_id_is_known_by_its_place() {
        let mut record = published();
        keep(&mut record, |name| name != "event_id");
        assert_eq!(record.envelope().unwrap().event_id, "orders.events/3/11");
    }

    #[test]
    fn a_message_without_key_takes_the_aggregate_id_of_its_value() {
        let mut record = published();
        record.key = None;
        assert_eq!(record.envelope().unwrap().aggregate_id, "o-\"1");
        record.value = Some(b"{}".to_vec());
        assert_eq!(record.envelope(), Err(Unreadable::NoKey));
        assert_eq!(record.order_key(), "orders.events/3");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let with = |name: &str, value: &[u8]| {
            let mut record = published();
            keep(&mut record, |header| header != name);
            record.headers.push(name, value);
            record.envelope().expect_err("unreadable")
        };
        assert!(matches!(with("timestamp", b"yesterday"), Unreadable::BadHeader { header: "timestamp", .. }));
        assert!(matches!(
            with("schema_version", b"-1"),
            Unreadable::BadHeader { header: "schema_version", .. }
        ));
        assert!(matches!(with("source", &[0xff]), Unreadable::HeaderNotUtf8 { .. }));
        assert!(matches!(with("event_id", b""), Unreadable::BadHeader { header: "event_id", .. }));
        for bad in [&b""[..], b"Order\0Shipped", b"Order\nShipped", &[b'x'; 300]] {
            let error = with("event_type", bad);
            assert!(matches!(error, Unreadable::BadHeader { header: "event_type", .. }), "{error}");
        }
        assert!(matches!(
            with("correlation_id", b"a\0b"),
            Unreadable::BadHeader { header: "correlation_id", .. }
        ));
        let mut record = published();
        record.value = None;
        assert_eq!(record.envelope(), Err(Unreadable::NoValue));
        record.value = Some(vec![0xff]);
        assert_eq!(record.envelope(), Err(Unreadable::NotUtf8));
        record.headers = Headers::new();
        assert_eq!(record.envelope(), Err(Unreadable::NoHeader { header: "event_type" }));
    }

    #[test]
    fn a_header_with_a_nul_is_no_text_for_a_database() {
        let mut record = published();
        record.headers = Headers::from_iter([("event_type", "Order\0Shipped")]);
        assert_eq!(record.header("event_type"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(
            key in any::<Option<Vec<u8>>>(),
            value in any::<Option<Vec<u8>>>(),
            headers in proptest::collection::vec(("event_id|event_type|timestamp|position", any::<Vec<u8>>()), 0..6),
        ) {
            let record = Record { key, value, headers: headers.into_iter().collect(), ..published() };
            let _ = record.envelope();
            prop_assert!(!record.order_key().is_empty());
        }
    }
}
