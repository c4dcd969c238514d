//! What an upcaster may know of an event beside its JSON.

use crate::envelope::{Envelope, Metadata, RecordedEvent};
use jiff::Timestamp;

/// Where and when an event was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventOrigin {
    /// Its id.
    pub event_id: String,
    /// The aggregate that it is of.
    pub aggregate_id: String,
    /// When it was recorded.
    pub timestamp: Timestamp,
    /// The service that recorded it.
    pub source: String,
}

impl EventOrigin {
    /// That of an event in the log. Metadata that cannot be read names no source.
    pub fn of(event: &RecordedEvent) -> Self {
        let metadata: Metadata = serde_json::from_str(&event.metadata).unwrap_or_default();
        Self {
            event_id: event.event_id.to_string(),
            aggregate_id: event.aggregate_id.clone(),
            timestamp: event.timestamp,
            source: metadata.source,
        }
    }

    /// That of an event in its envelope.
    pub fn of_envelope<E>(envelope: &Envelope<E>) -> Self {
        Self {
            event_id: envelope.event_id.clone(),
            aggregate_id: envelope.aggregate_id.clone(),
            timestamp: envelope.timestamp,
            source: envelope.source.clone(),
        }
    }
}
