//! A user's handler with its types hidden: how its events are decoded, and what is done with them.

use super::failure::Failure;
use super::reaction::{Decoded, Outcome, typed};
use super::traits::{ExternalHandler, Handler, Projector};
use crate::error::Error;
use crate::kernel::states::States;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::Envelope;
use factstream_core::event::{EventSet, EventType};
use std::marker::PhantomData;

/// A handler, projector or external handler with its types hidden: how its events are decoded, and what is done with them.
pub(crate) struct AnyHandler {
    pub(super) decoder: Box<dyn EventDecoder>,
    pub(super) effect: Box<dyn Effect>,
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
    fn wire(&mut self, decoders: &States) -> Result<(), Error>;
    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError>;
    fn drops(&self, _event_type: &str) -> bool {
        false
    }
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

    fn wire(&mut self, decoders: &States) -> Result<(), Error> {
        self.decoder = Some(decoders.decoder::<E>()?);
        Ok(())
    }

    fn drops(&self, event_type: &str) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| decoder.drops(event_type))
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let decoder = self.decoder.as_ref().expect("handlers are wired before they run");
        let event: E = decoder.decode_envelope(&envelope, json)?;
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
