//! A record read as an event by the consumer's own decoder, before ours: other teams' formats.

use super::asked::Asked;
use super::identity::Identified;
use super::order_key::{aggregate_id_in, key_text};
use super::{Record, Unreadable};
use crate::envelope::{Envelope, InvalidId, check_id};
use jiff::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

/// What a decoder makes of a record.
///
/// ```
/// use factstream_core::message::Decoded;
/// use serde_json::json;
///
/// let decoded = Decoded::new("OrderCreated", json!({ "customer_id": "c-1" })).event_id("42").aggregate_id("o-1");
/// assert_eq!(decoded.event_type, "OrderCreated");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The event's type, as this consumer's handlers name it.
    pub event_type: String,
    body: Body,
    /// The producer's id of the event, known within its topic and source; without one, the record's place is its identity.
    pub event_id: Option<String>,
    /// In whose order it is handled, instead of the record's own key.
    pub key: Option<String>,
    /// The aggregate that it is of; else the key, or the `aggregate_id` of the value.
    pub aggregate_id: Option<String>,
    /// When the event happened; else when the record was published.
    pub timestamp: Option<Timestamp>,
    /// Who sent it; else the header `source`.
    pub source: Option<String>,
    /// The schema version of the value; else 1.
    pub schema_version: u32,
}

/// The event's own fields.
#[derive(Debug, Clone, PartialEq)]
enum Body {
    Value(Value),
    Text(String),
}

impl Decoded {
    /// An event of this type with these fields. Numbers in a [`Value`] have the digits of an `f64`; [`Decoded::of_json`] keeps all.
    pub fn new(event_type: impl Into<String>, value: Value) -> Self {
        Self::of(event_type.into(), Body::Value(value))
    }

    /// An event of this type whose fields are this JSON text, to the letter.
    pub fn of_json(event_type: impl Into<String>, json: impl Into<String>) -> Self {
        Self::of(event_type.into(), Body::Text(json.into()))
    }

    /// The event's own fields as JSON text.
    pub fn json(&self) -> Cow<'_, str> {
        match &self.body {
            Body::Value(value) => Cow::Owned(value.to_string()),
            Body::Text(json) => Cow::Borrowed(json),
        }
    }

    fn of(event_type: String, body: Body) -> Self {
        Self {
            event_type,
            body,
            event_id: None,
            key: None,
            aggregate_id: None,
            timestamp: None,
            source: None,
            schema_version: 1,
        }
    }

    /// The producer's id of the event.
    pub fn event_id(mut self, id: impl Into<String>) -> Self {
        self.event_id = Some(id.into());
        self
    }

    /// In whose order it is handled, and the aggregate that it is of, unless said otherwise.
    ///
    /// Only where the record's own key does not say whose order it is in: a record that the decoder refuses stops its
    /// own key, and not this one.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The aggregate that it is of. The order is that of the record's key, where it has one.
    pub fn aggregate_id(mut self, id: impl Into<String>) -> Self {
        self.aggregate_id = Some(id.into());
        self
    }

    /// When the event happened.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Who sent it.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The schema version of the value.
    pub fn schema_version(mut self, version: u32) -> Self {
        self.schema_version = version;
        self
    }
}

impl Record {
    /// The key in whose order it is handled when a decoder made this of it.
    pub fn order_key_of(&self, decoded: &Decoded) -> String {
        match (&decoded.key, &self.key, &decoded.aggregate_id) {
            (Some(key), ..) | (None, None, Some(key)) => key_text(key.as_bytes()),
            _ => self.order_key(),
        }
    }

    /// The envelope of what a decoder made of it. `kept` is the identity under which it is kept already.
    ///
    /// # Errors
    /// [`Unreadable::Refused`] when an id cannot be one.
    pub fn envelope_of(&self, decoded: &Decoded, kept: Option<&str>) -> Result<Envelope<()>, Unreadable> {
        let refused = |invalid: InvalidId| Unreadable::Refused { reason: invalid.to_string() };
        check_id("event type", &decoded.event_type).map_err(refused)?;
        if let Some(id) = &decoded.event_id {
            check_id("event id", id).map_err(refused)?;
        }
        let in_value = || match &decoded.body {
            Body::Value(value) => value.get("aggregate_id").and_then(Value::as_str).map(str::to_owned),
            Body::Text(json) => aggregate_id_in(json.as_bytes()),
        };
        let named = decoded.aggregate_id.clone().or_else(|| decoded.key.clone()).or_else(in_value);
        let aggregate_id = match named {
            Some(id) => id,
            None => self.aggregate_id(false)?,
        };
        check_id("aggregate id", &aggregate_id).map_err(refused)?;
        let header = |name: &str| self.header(name).map(str::to_owned);
        let source =
            decoded.source.clone().or_else(|| header("source")).unwrap_or_default().replace('\0', "");
        let Identified { event_id, scoped_id } =
            self.identified(decoded.event_id.clone(), &source, false, kept);
        let asked = Asked::of(&self.headers);
        Ok(Envelope {
            event: (),
            event_id,
            scoped_id,
            event_type: decoded.event_type.clone(),
            schema_version: decoded.schema_version,
            aggregate_id,
            aggregate_type: None,
            version: None,
            position: None,
            timestamp: decoded.timestamp.or(self.timestamp).unwrap_or(Timestamp::UNIX_EPOCH),
            source,
            correlation_id: header("correlation_id"),
            causation_id: header("causation_id"),
            traceparent: header("traceparent"),
            actor: asked.actor(),
            attributes: asked.attributes(),
            topic: self.topic().map(str::to_owned),
            causes: asked.causes(),
        })
    }
}
