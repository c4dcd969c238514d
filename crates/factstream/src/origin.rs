//! Where an event comes from: who recorded it, in which conversation, and what caused it. Set here, never by hand.

use crate::error::Error;
use factstream_core::envelope::{Envelope, Metadata, NewEvent};
use factstream_core::event::Event;
use factstream_core::sql::now;
use std::sync::Arc;
use uuid::Uuid;

/// What the events of one decision have in common.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    source: Arc<str>,
    correlation_id: String,
    causation_id: String,
    traceparent: Option<String>,
}

impl Origin {
    /// A command from outside: it begins a conversation, and causes what follows.
    pub(crate) fn command(source: Arc<str>) -> Self {
        let id = Uuid::now_v7().to_string();
        Self { source, correlation_id: id.clone(), causation_id: id, traceparent: None }
    }

    /// An event that is being handled: its conversation goes on, and it is the cause.
    pub(crate) fn event<E>(source: Arc<str>, envelope: &Envelope<E>) -> Self {
        Self {
            source,
            correlation_id: envelope.correlation_id.clone().unwrap_or_else(|| envelope.event_id.clone()),
            causation_id: envelope.event_id.clone(),
            traceparent: envelope.traceparent.clone(),
        }
    }

    /// The event, ready for the store, and as the store will give it back: what cannot be read back is refused here, for its
    /// stream could never be folded again.
    fn stamp<E: Event>(&self, event: &E) -> Result<(NewEvent, E), Error> {
        let event_type = event.event_type();
        let encode = |source| Error::Encode { what: format!("event {}", event_type.name), source };
        let metadata = Metadata {
            source: self.source.to_string(),
            correlation_id: Some(self.correlation_id.clone()),
            causation_id: Some(self.causation_id.clone()),
            topic: event_type.topic.map(str::to_owned),
            traceparent: self.traceparent.clone(),
        };
        let data = event.encode().map_err(encode)?;
        let read_back = match E::decode(event_type.name, &data) {
            Some(Ok(read_back)) => read_back,
            Some(Err(reason)) => return Err(Error::NotReadBack { event_type: event_type.name, reason }),
            None => {
                let text = format!("{} is not one of the types that its own enum decodes", event_type.name);
                return Err(Error::Wiring(text));
            }
        };
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: event_type.name.to_owned(),
            schema_version: event_type.version,
            data,
            metadata: serde_json::to_string(&metadata).map_err(encode)?,
            timestamp: now(),
        };
        Ok((event, read_back))
    }

    /// The events, ready for the store; and as the store will give them back, for whoever keeps the state in memory.
    pub(crate) fn stamp_all<E: Event>(&self, events: &[E]) -> Result<(Vec<NewEvent>, Vec<E>), Error> {
        let (mut stamped, mut read_back) =
            (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        for event in events {
            let (new, again) = self.stamp(event)?;
            stamped.push(new);
            read_back.push(again);
        }
        Ok((stamped, read_back))
    }
}
