//! What is done with events: a fold, or a consumer's handlers, behind one small trait, so that the processor is one.

use crate::command::inside::because_of;
use crate::error::Error;
use crate::handler::{ExternalHandler, Failure, Handler, Projector};
use crate::origin::Origin;
use crate::read_model::fill::Filling;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::Envelope;
use factstream_core::event::{EventSet, EventType};
use factstream_core::message::{self, Record, Unreadable};
use futures_util::FutureExt;
use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// An `Envelope<E>` of the reaction's own event set.
pub(crate) type Decoded = Box<dyn Any + Send + Sync>;
/// An external handler's outcome.
pub(crate) type Outcome = Box<dyn Any + Send + Sync>;

/// An event that is ready to be handled.
pub(crate) struct Ready<'a> {
    pub(crate) event: &'a Decoded,
    pub(crate) origin: &'a Origin,
    pub(crate) outcome: Option<&'a Outcome>,
}

/// Why a batch could not be handled.
#[derive(Debug)]
pub(crate) struct BatchFailure {
    /// The event that failed, where that is known.
    pub(crate) at: Option<usize>,
    /// Whether it failed by itself, so that it need not be tried alone to be sure: a call outside, unreadable bytes.
    pub(crate) by_itself: bool,
    pub(crate) failure: Failure,
}

impl BatchFailure {
    /// An event failed within a transaction that it shared: the cause may lie with another event.
    pub(crate) fn at(at: usize, failure: Failure) -> Self {
        Self { at: Some(at), by_itself: false, failure }
    }

    /// An event failed by itself.
    pub(crate) fn by_itself(at: usize, failure: Failure) -> Self {
        Self { at: Some(at), by_itself: true, failure }
    }

    /// The batch failed as a whole.
    pub(crate) fn somewhere(failure: Failure) -> Self {
        Self { at: None, by_itself: false, failure }
    }
}

#[async_trait]
pub(crate) trait Reaction: Send + Sync {
    fn event_types(&self) -> Vec<&'static EventType>;

    fn handles(&self, event_type: &str) -> bool;

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError>;

    /// What the consumer's own decoder makes of a record; `None` leaves it to the framework.
    fn decode_record(&self, _record: &Record) -> Result<Option<message::Decoded>, Unreadable> {
        Ok(None)
    }

    /// The key in whose order events are handled, where that is another than the aggregate's id.
    fn order_key(&self, _event: &Decoded) -> Option<String> {
        None
    }

    /// What all events stand in the order of, where there is no other.
    fn one_order(&self) -> Option<&'static str> {
        None
    }

    /// Whether the outside world must be asked before this event is handled.
    fn calls(&self, _event: &Decoded) -> bool {
        false
    }

    async fn call(&self, _event: &Decoded) -> Result<Outcome, Failure> {
        Ok(Box::new(()))
    }

    /// Handles the events in order, in one transaction.
    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure>;

    /// What fills a new, empty table with the same rows, where that can be done over many batches in memory.
    fn filling(&self) -> Option<Box<dyn Filling>> {
        None
    }
}

/// Runs user code; a panic is a failure like any other.
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::transient(format!("the handler panicked: {}", panic_text(&*panic)))),
    }
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}

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
    pub(crate) fn wire(&mut self, decoders: &crate::states::States, name: &str) -> Result<(), Error> {
        for (at, handler) in self.all.iter_mut().enumerate() {
            let event_types = handler.decoder.event_types();
            if event_types.is_empty() {
                return Err(Error::Wiring(format!(
                    "{name} has a handler that names no event type; one of Json<T> is added with .topic(\"..\").json::<T>()"
                )));
            }
            for event_type in event_types {
                if self.by_type.insert(event_type.name, at).is_some_and(|other| other != at) {
                    let event_type = event_type.name;
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

/// A handler, projector or external handler with its types hidden: how its events are decoded, and what is done with them.
pub(crate) struct AnyHandler {
    decoder: Box<dyn EventDecoder>,
    effect: Box<dyn Effect>,
}

impl AnyHandler {
    /// Effects whose events are of the types that this decoder gives.
    pub(crate) fn new(decoder: impl EventDecoder + 'static, effect: impl Effect + 'static) -> Self {
        Self { decoder: Box::new(decoder), effect: Box::new(effect) }
    }

    pub(crate) fn handling<H: Handler>(handler: H) -> Self {
        Self::new(SetDecoder::<H::Events>::new(), Handling(handler))
    }

    pub(crate) fn projecting<P: Projector>(projector: P) -> Self {
        Self::new(SetDecoder::<P::Events>::new(), Projecting(projector))
    }

    pub(crate) fn calling<C: ExternalHandler>(external: C) -> Self {
        Self::new(SetDecoder::<C::Events>::new(), Calling(external))
    }
}

/// Which events there are, and how their content is read.
pub(crate) trait EventDecoder: Send + Sync {
    fn event_types(&self) -> Vec<&'static EventType>;
    fn wire(&mut self, decoders: &crate::states::States) -> Result<(), Error>;
    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError>;
}

/// Decodes an event set, once it is wired.
struct SetDecoder<E> {
    decoder: Option<Decoder>,
    events: PhantomData<fn() -> E>,
}

impl<E: EventSet> SetDecoder<E> {
    fn new() -> Self {
        Self { decoder: None, events: PhantomData }
    }
}

impl<E: EventSet> EventDecoder for SetDecoder<E> {
    fn event_types(&self) -> Vec<&'static EventType> {
        E::event_types()
    }

    fn wire(&mut self, decoders: &crate::states::States) -> Result<(), Error> {
        self.decoder = Some(decoders.decoder::<E>()?);
        Ok(())
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let decoder = self.decoder.as_ref().expect("handlers are wired before they run");
        let event: E = decoder.decode(&envelope.event_type, envelope.schema_version, json)?;
        Ok(Box::new(envelope.with(event)))
    }
}

/// What is done with an event.
#[async_trait]
pub(crate) trait Effect: Send + Sync {
    fn calls(&self) -> bool {
        false
    }
    async fn call(&self, _event: &Decoded) -> Result<Outcome, Failure> {
        Ok(Box::new(()))
    }
    async fn handle(&self, event: &Decoded, outcome: Option<&Outcome>, tx: &mut Tx) -> Result<(), Failure>;
}

pub(crate) fn typed<E: 'static>(event: &Decoded) -> &Envelope<E> {
    event.downcast_ref().expect("an event is decoded by the handler that it is given to")
}

/// The effects of a [`Handler`].
pub(crate) struct Handling<H>(pub(crate) H);

#[async_trait]
impl<H: Handler> Effect for Handling<H> {
    async fn handle(&self, event: &Decoded, _outcome: Option<&Outcome>, tx: &mut Tx) -> Result<(), Failure> {
        self.0.handle(typed(event), tx).await
    }
}

/// The effects of a [`Projector`].
struct Projecting<P>(P);

#[async_trait]
impl<P: Projector> Effect for Projecting<P> {
    async fn handle(&self, event: &Decoded, _outcome: Option<&Outcome>, tx: &mut Tx) -> Result<(), Failure> {
        self.0.project(typed(event), tx).await
    }
}

/// The effects of an [`ExternalHandler`].
pub(crate) struct Calling<C>(pub(crate) C);

#[async_trait]
impl<C: ExternalHandler> Effect for Calling<C> {
    fn calls(&self) -> bool {
        true
    }

    async fn call(&self, event: &Decoded) -> Result<Outcome, Failure> {
        Ok(Box::new(self.0.call(typed(event)).await?))
    }

    async fn handle(&self, event: &Decoded, outcome: Option<&Outcome>, tx: &mut Tx) -> Result<(), Failure> {
        let outcome = outcome.and_then(|outcome| outcome.downcast_ref::<C::Outcome>());
        let outcome = outcome.expect("an external handler's event is called before it is handled");
        self.0.handle(typed(event), outcome, tx).await
    }
}

/// A reaction that many tasks share.
pub(crate) type SharedReaction = Arc<dyn Reaction>;
