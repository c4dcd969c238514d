//! Where an event comes from: who recorded it, who asked for it, in which conversation, and what caused it.

use crate::error::Error;
use factstream_core::context::Context;
use factstream_core::envelope::{Envelope, JsonText, NewEvent};
use factstream_core::event::Event;
use factstream_core::sql::now;
use std::sync::Arc;
use uuid::Uuid;

/// What the events of one decision have in common.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    source: Arc<str>,
    /// It has a correlation id and a causation id.
    context: Arc<Context>,
}

impl Origin {
    /// A command from outside: it begins a conversation, and causes what follows.
    pub(crate) fn command(source: Arc<str>) -> Self {
        let id = Uuid::now_v7().as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned();
        let context = Context::new().correlation_id(id.clone()).causation_id(id);
        Self { source, context: Arc::new(context) }
    }

    /// The same, as far as a context does not say otherwise.
    pub(crate) fn with(&self, mut context: Context) -> Self {
        let known = &*self.context;
        let texts = [
            (&mut context.actor, &known.actor),
            (&mut context.correlation_id, &known.correlation_id),
            (&mut context.causation_id, &known.causation_id),
            (&mut context.traceparent, &known.traceparent),
        ];
        for (text, known) in texts {
            if text.is_none() {
                text.clone_from(known);
            }
        }
        if context.attributes.is_empty() {
            context.attributes.clone_from(&known.attributes);
        }
        if context.causes.is_empty() {
            context.causes.clone_from(&known.causes);
        }
        Self { source: Arc::clone(&self.source), context: Arc::new(context) }
    }

    /// An event that is being handled: its conversation goes on, as it reads there, and it is the cause.
    pub(crate) fn event<E>(source: Arc<str>, envelope: &Envelope<E>) -> Self {
        let mut context = Context::of(envelope);
        context.causes = envelope.onward_causes();
        context.correlation_id.get_or_insert_with(|| envelope.event_id.clone());
        context.causation_id = Some(envelope.event_id.clone());
        Self { source, context: Arc::new(context) }
    }

    /// What was asked for in this context and is done now.
    pub(crate) fn later(source: Arc<str>, context: Context) -> Self {
        Self::command(source).with(context)
    }

    /// It as JSON, without a topic: what [`Metadata`](factstream_core::envelope::Metadata) says of it.
    pub(crate) fn json(&self) -> Result<String, Error> {
        let encode = |source| Error::Encode { what: "the origin of a timer".into(), source };
        self.context.metadata_json(&self.source, None).map(String::from).map_err(encode)
    }

    /// The same, recorded by this service.
    pub(crate) fn recorded_by(self, source: Arc<str>) -> Self {
        Self { source, ..self }
    }

    /// The event, ready for the store, and as the store will give it back: what cannot be read back is refused here, for its
    /// stream could never be folded again.
    fn stamp<E: Event>(&self, event: &E) -> Result<(NewEvent, E), Error> {
        let event_type = event.event_type();
        if event_type.retired {
            return Err(Error::Retired { event_type: event_type.name });
        }
        let encode = |source| Error::Encode { what: format!("event {}", event_type.name), source };
        let data = event.encode().map_err(encode)?;
        let read_back = match E::decode(event_type.name, &data) {
            Some(Ok(read_back)) => read_back,
            Some(Err(reason)) => return Err(Error::NotReadBack { event_type: event_type.name, reason }),
            None => {
                let text = format!("{} is not one of the types that its own enum decodes", event_type.name);
                return Err(Error::Wiring(text));
            }
        };
        let metadata = self.context.metadata_json(&self.source, event_type.topic).map_err(encode)?;
        Ok((new_event(event_type.name.to_owned(), event_type.version, data, metadata), read_back))
    }

    /// A fact of the framework's own, which stays home.
    pub(crate) fn stamp_fact(
        &self,
        event_type: String,
        schema_version: u32,
        data: String,
    ) -> Result<NewEvent, Error> {
        let encode = |source| Error::Encode { what: format!("event {event_type}"), source };
        let metadata = self.context.metadata_json(&self.source, None).map_err(encode)?;
        Ok(new_event(event_type, schema_version, data.into(), metadata))
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

fn new_event(event_type: String, schema_version: u32, data: JsonText, metadata: JsonText) -> NewEvent {
    NewEvent { event_id: Uuid::now_v7(), event_type, schema_version, data, metadata, timestamp: now() }
}
