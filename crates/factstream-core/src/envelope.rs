//! The envelope: what surrounds an event once it is recorded. Set by the framework, never by hand.
//!
//! Invariants: a stream's versions are 1, 2, 3, ..; the log's positions are 1, 2, 3, .. in commit order (G3); every
//! event of one conversation carries the same correlation id, and its causation id names the event or command before it.

use crate::causes::Causes;
pub use crate::id::{ID_BYTES_MAX, InvalidId, check_id};
pub use crate::json_text::JsonText;
pub use crate::metadata::Metadata;
use crate::read_context;
use crate::size::Size;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// The place of an event in the log, from 1; 0 is before the first event.
pub type Position = u64;

/// The place of an event in its stream, from 1; 0 is a stream without events.
pub type Version = u64;

/// Names one stream: an aggregate's type and its id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// Type and id, one after the other.
    names: Arc<str>,
    type_len: usize,
}

impl StreamId {
    /// The stream of the aggregate `id`, which is of this type.
    ///
    /// # Errors
    /// [`InvalidId`] when either is empty, longer than [`ID_BYTES_MAX`] bytes, or holds a control character.
    pub fn new(aggregate_type: impl AsRef<str>, id: impl AsRef<str>) -> Result<Self, InvalidId> {
        let (aggregate_type, id) = (aggregate_type.as_ref(), id.as_ref());
        check_id("aggregate type", aggregate_type)?;
        check_id("aggregate id", id)?;
        Ok(Self::of(aggregate_type, id))
    }

    fn of(aggregate_type: &str, id: &str) -> Self {
        Self { names: [aggregate_type, id].concat().into(), type_len: aggregate_type.len() }
    }

    /// The aggregate's type, for example `order`.
    pub fn aggregate_type(&self) -> &str {
        &self.names[..self.type_len]
    }

    /// The aggregate's id.
    pub fn id(&self) -> &str {
        &self.names[self.type_len..]
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamId")
            .field("aggregate_type", &self.aggregate_type())
            .field("id", &self.id())
            .finish()
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.aggregate_type(), self.id())
    }
}

/// An event on its way into the store.
#[derive(Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUIDv7, unique in the log.
    pub event_id: Uuid,
    /// The type's name.
    pub event_type: String,
    /// The schema version of `data`.
    pub schema_version: u32,
    /// The event's own fields: one flat JSON object, kept to the letter.
    pub data: JsonText,
    /// Kept to the letter.
    pub metadata: JsonText,
    /// When it was recorded, UTC, microseconds.
    pub timestamp: Timestamp,
}

/// An event as the store gives it back.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: Position,
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// Its place in the stream.
    pub version: Version,
    /// Its identity.
    pub event_id: Uuid,
    /// The type's name.
    pub event_type: String,
    /// The schema version of `data`.
    pub schema_version: u32,
    /// The exact JSON text of its own fields.
    pub data: String,
    /// The exact JSON text of its [`Metadata`].
    pub metadata: String,
    /// When it was recorded.
    pub timestamp: Timestamp,
}

impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_id, event_type, schema_version, data, metadata, timestamp } = self;
        f.debug_struct("NewEvent")
            .field("event_id", event_id)
            .field("event_type", event_type)
            .field("schema_version", schema_version)
            .field("data", data)
            .field("metadata", metadata)
            .field("timestamp", timestamp)
            .finish()
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, aggregate_type, aggregate_id, version, .. } = self;
        f.debug_struct("RecordedEvent")
            .field("position", position)
            .field("aggregate_type", aggregate_type)
            .field("aggregate_id", aggregate_id)
            .field("version", version)
            .field("event_id", &self.event_id)
            .field("event_type", &self.event_type)
            .field("schema_version", &self.schema_version)
            .field("data", &Size::of(&self.data))
            .field("metadata", &Size::of(&self.metadata))
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// An event with all that surrounds it: what folds and handlers are given.
///
/// Events from the log have every field. A message from a foreign producer may lack those that are `Option`.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<E> {
    /// The event itself.
    pub event: E,
    /// Its id: a UUIDv7 when factstream recorded it, else what the producer sent, else its place in its topic and a digest of
    /// what lies there. Another producer may send the same: see [`Envelope::identity`].
    pub event_id: String,
    /// A foreign producer's id together with its topic and source; `None` where the id alone is the identity.
    pub scoped_id: Option<String>,
    /// The type's name, after upcasting.
    pub event_type: String,
    /// The schema version that the producer wrote.
    pub schema_version: u32,
    /// The aggregate's id: the key, in whose order events are handled (G7).
    pub aggregate_id: String,
    /// The aggregate's type.
    pub aggregate_type: Option<String>,
    /// Its place in its stream.
    pub version: Option<Version>,
    /// Its place in the log of the store that recorded it.
    pub position: Option<Position>,
    /// When it was recorded, UTC.
    pub timestamp: Timestamp,
    /// The service that recorded it.
    pub source: String,
    /// The whole conversation.
    pub correlation_id: Option<String>,
    /// The event or command that caused it.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Who asked for it: the [`Context`](crate::context::Context) of the command, or of the event that caused it.
    pub actor: Option<String>,
    /// What else came with the request.
    pub attributes: BTreeMap<String, String>,
    /// The topic that it was published to; `None` where it stays home.
    pub topic: Option<String>,
    /// Its newest public causes, for consumers with [causal order](https://docs.rs/factstream/latest/factstream/struct.Consumer.html#method.causal) (G19).
    pub causes: Causes,
}

impl<E> Envelope<E> {
    /// What no other event has, and this one always has, however often it is delivered: by it a consumer knows what it has
    /// handled, and an outside system what it was asked (an idempotency key). At most 255 bytes of ASCII where the topic's name
    /// has at most 190.
    pub fn identity(&self) -> &str {
        self.scoped_id.as_deref().unwrap_or(&self.event_id)
    }

    /// The causes of what it leads to: its own and, unless it stays home, itself.
    pub fn onward_causes(&self) -> Causes {
        match &self.topic {
            Some(topic) => self.causes.and(self.identity(), &self.event_type, topic),
            None => self.causes.clone(),
        }
    }

    /// The same envelope around another content.
    pub fn with<F>(self, event: F) -> Envelope<F> {
        self.map(|_| event)
    }

    /// The same envelope around what `f` makes of the content.
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Envelope<F> {
        Envelope {
            event: f(self.event),
            event_id: self.event_id,
            scoped_id: self.scoped_id,
            event_type: self.event_type,
            schema_version: self.schema_version,
            aggregate_id: self.aggregate_id,
            aggregate_type: self.aggregate_type,
            version: self.version,
            position: self.position,
            timestamp: self.timestamp,
            source: self.source,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
            actor: self.actor,
            attributes: self.attributes,
            topic: self.topic,
            causes: self.causes,
        }
    }
}

impl RecordedEvent {
    /// How many bytes its data and metadata have: what a read counts.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.metadata.len()
    }

    /// The stream that it lies in.
    pub fn stream(&self) -> StreamId {
        StreamId::of(&self.aggregate_type, &self.aggregate_id)
    }

    /// The envelope without the event's content.
    ///
    /// # Errors
    /// When the metadata is not the JSON that factstream writes.
    pub fn envelope(&self) -> Result<Envelope<()>, serde_json::Error> {
        let surroundings = serde_json::from_str(&self.metadata)?;
        Ok(self.around(
            surroundings,
            self.event_type.clone(),
            self.aggregate_id.clone(),
            self.aggregate_type.clone(),
        ))
    }

    /// The envelope without the event's content, of an event that is not needed any more.
    ///
    /// # Errors
    /// As [`RecordedEvent::envelope`].
    pub fn into_envelope(mut self) -> Result<Envelope<()>, serde_json::Error> {
        let surroundings = serde_json::from_str(&self.metadata)?;
        let [event_type, aggregate_id, aggregate_type] =
            [&mut self.event_type, &mut self.aggregate_id, &mut self.aggregate_type].map(std::mem::take);
        Ok(self.around(surroundings, event_type, aggregate_id, aggregate_type))
    }

    fn around(
        &self,
        surroundings: Surroundings,
        event_type: String,
        aggregate_id: String,
        aggregate_type: String,
    ) -> Envelope<()> {
        let Surroundings {
            source,
            correlation_id,
            causation_id,
            topic,
            traceparent,
            actor,
            attributes,
            causes,
        } = surroundings;
        Envelope {
            event: (),
            event_id: self.event_id.to_string(),
            scoped_id: None,
            event_type,
            schema_version: self.schema_version,
            aggregate_id,
            aggregate_type: Some(aggregate_type),
            version: Some(self.version),
            position: Some(self.position),
            timestamp: self.timestamp,
            source,
            correlation_id,
            causation_id,
            traceparent,
            actor,
            attributes,
            topic,
            causes,
        }
    }
}

/// What an envelope tells of [`Metadata`].
#[derive(Deserialize)]
struct Surroundings {
    #[serde(default)]
    source: String,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    topic: Option<String>,
    traceparent: Option<String>,
    #[serde(default, deserialize_with = "read_context::actor")]
    actor: Option<String>,
    #[serde(default, deserialize_with = "read_context::attributes")]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    causes: Causes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_long_or_control_id_is_refused_with_its_name() {
        assert_eq!(StreamId::new("order", ""), Err(InvalidId::Empty { what: "aggregate id" }));
        assert_eq!(StreamId::new("", "o-1"), Err(InvalidId::Empty { what: "aggregate type" }));
        let long = "x".repeat(ID_BYTES_MAX + 1);
        assert_eq!(
            StreamId::new("order", long),
            Err(InvalidId::TooLong { what: "aggregate id", bytes: ID_BYTES_MAX + 1 })
        );
        for bad in ["a\0b", "a\u{7f}b", "ä\nb", "ä\u{85}b"] {
            let refused = StreamId::new("order", bad);
            assert_eq!(refused, Err(InvalidId::ControlCharacter { what: "aggregate id" }), "{bad:?}");
        }
        assert!(StreamId::new("order", "Bestellung-ä-1").is_ok());
    }
}
