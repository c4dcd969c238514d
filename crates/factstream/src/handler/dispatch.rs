//! The handlers of one consumer or projection: each event goes to the one that names its type.

use super::effect::AnyHandler;
use super::failure::{Failure, caught};
use super::reaction::{BatchFailure, Decoded, Outcome, Reaction, Ready};
use crate::error::Error;
use crate::kernel::inside::because_of;
use crate::kernel::states::States;
use crate::tasks::panic_text;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::DecodeError;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventType;
use factstream_core::message::{self, Record, Unreadable};
use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;

/// The handlers of one consumer or projection, by event type.
#[derive(Default)]
pub(crate) struct Handlers {
    all: Vec<AnyHandler>,
    by_type: HashMap<&'static str, usize>,
    own_decoders: Vec<RecordDecoder>,
    /// What records of a topic are unless they say otherwise: the type's name, and how they are read.
    by_topic: HashMap<String, (String, RecordDecoder)>,
}

/// A consumer's own decoder; an error is already text.
type RecordDecoder = Box<dyn Fn(&Record) -> Result<Option<message::Decoded>, String> + Send + Sync>;

impl Handlers {
    /// Reads records before the framework does.
    pub(crate) fn decode_with<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &mut self,
        decode: impl Fn(&Record) -> Result<Option<message::Decoded>, E> + Send + Sync + 'static,
    ) {
        self.own_decoders.push(uncaught(move |record| {
            decode(record).map_err(|error| Failure::permanent(error).chain().join(": "))
        }));
    }

    /// Reads records of a topic that name no type of this consumer.
    pub(crate) fn decode_topic(
        &mut self,
        topic: String,
        event_type: String,
        decode: impl Fn(&Record) -> Result<Option<message::Decoded>, String> + Send + Sync + 'static,
    ) {
        self.by_topic.insert(topic, (event_type, uncaught(decode)));
    }

    /// Adds a handler.
    pub(crate) fn add(&mut self, handler: AnyHandler) {
        self.all.push(handler);
    }

    /// Gives each event type its handler and makes the decoders.
    pub(crate) fn wire(&mut self, decoders: &States, name: &str) -> Result<(), Error> {
        for (at, handler) in self.all.iter_mut().enumerate() {
            let event_types = handler.decoder.event_types();
            if event_types.is_empty() {
                return Err(Error::Wiring(format!(
                    "{name} has a handler that names no event type; one of Json<T> is added with .topic(\"..\").json::<T>()"
                )));
            }
            for event_type in event_types.iter().flat_map(|event_type| event_type.names()) {
                if self.by_type.insert(event_type, at).is_some_and(|other| other != at) {
                    return Err(Error::Wiring(format!(
                        "{name} has two handlers for {event_type}; let one handler do both, or use two consumers"
                    )));
                }
            }
            handler.decoder.wire(decoders)?;
        }
        if self.by_type.is_empty() {
            return Err(Error::Wiring(format!(
                "{name} has no handler; add one with .handler(..) or .external(..)"
            )));
        }
        Ok(())
    }
}

/// A panic of a decoder is a refusal like any other.
fn uncaught(
    decode: impl Fn(&Record) -> Result<Option<message::Decoded>, String> + Send + Sync + 'static,
) -> RecordDecoder {
    Box::new(move |record| {
        std::panic::catch_unwind(AssertUnwindSafe(|| decode(record)))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))))
    })
}

/// The handler index goes along with the event that it decoded.
struct Dispatched {
    handler: usize,
    event: Decoded,
}

fn dispatched(event: &Decoded) -> &Dispatched {
    event.downcast_ref().expect("events of a consumer are decoded by its own `decode`")
}

#[async_trait]
impl Reaction for Handlers {
    fn event_types(&self) -> Vec<&'static EventType> {
        self.all.iter().flat_map(|handler| handler.decoder.event_types()).collect()
    }

    fn handles(&self, event_type: &str) -> bool {
        self.by_type.contains_key(event_type)
    }

    fn drops(&self, event_type: &str) -> bool {
        self.all.iter().any(|handler| handler.decoder.drops(event_type))
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let Some(&handler) = self.by_type.get(envelope.event_type.as_str()) else {
            return Err(DecodeError::UnknownType { event_type: envelope.event_type });
        };
        let event = self.all[handler].decoder.decode(envelope, json)?;
        Ok(Box::new(Dispatched { handler, event }))
    }

    fn decode_record(&self, record: &Record) -> Result<Option<message::Decoded>, Unreadable> {
        let refused = |reason| Unreadable::Refused { reason };
        for decode in &self.own_decoders {
            if let Some(decoded) = decode(record).map_err(refused)? {
                return Ok(Some(decoded));
            }
        }
        let Some((event_type, decode)) = self.by_topic.get(&record.partition.topic) else { return Ok(None) };
        let names_another =
            record.header("event_type").is_some_and(|named| named != event_type && self.handles(named));
        if names_another { Ok(None) } else { decode(record).map_err(refused) }
    }

    fn calls(&self, event: &Decoded) -> bool {
        self.all[dispatched(event).handler].effect.calls()
    }

    async fn call(&self, event: &Decoded) -> Result<Outcome, Failure> {
        let Dispatched { handler, event } = dispatched(event);
        caught(self.all[*handler].effect.call(event)).await
    }

    fn envelope<'a>(&self, event: &'a Decoded) -> &'a (dyn Any + Send + Sync) {
        dispatched(event).event.as_ref()
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure> {
        for (at, ready) in batch.iter().enumerate() {
            let Dispatched { handler, event } = dispatched(ready.event);
            tx.caused_by(ready.origin.clone());
            let handle = caught(self.all[*handler].effect.handle(event, ready.outcome, tx));
            let handled = because_of(ready.origin.clone(), handle).await;
            handled.map_err(|failure| BatchFailure::at(at, failure))?;
        }
        Ok(())
    }
}
