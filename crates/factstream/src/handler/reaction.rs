//! What is done with events: a fold, or a consumer's handlers, behind one small trait, so that the processor is one.

use super::failure::Failure;
use super::filling::Filling;
use crate::error::Error;
use crate::kernel::origin::Origin;
use crate::timer::DueTimer;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::DecodeError;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventType;
use factstream_core::message::{self, Record, Unreadable};
use factstream_core::store::Store;
use std::any::Any;
use std::collections::{BTreeSet, HashMap};
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
    /// In whose order it is handled.
    pub(crate) key: &'a str,
    /// Its data, where a person may have edited it: of a letter.
    pub(crate) edited: Option<&'a str>,
}

/// Why a batch could not be handled.
#[derive(Debug)]
pub(crate) struct BatchFailure {
    /// The event that failed, where that is known.
    pub(crate) at: Option<usize>,
    /// Whether it failed by itself, so that it need not be tried alone to be sure: a call outside, unreadable bytes.
    pub(crate) by_itself: bool,
    /// Whether nothing failed: a limit has it wait.
    pub(crate) later: bool,
    pub(crate) failure: Failure,
}

impl BatchFailure {
    /// An event failed within a transaction that it shared: the cause may lie with another event, unless the failure says when the
    /// event is to be tried again.
    pub(crate) fn at(at: usize, failure: Failure) -> Self {
        Self { at: Some(at), by_itself: failure.asked_wait().is_some(), later: false, failure }
    }

    /// An event failed by itself.
    pub(crate) fn by_itself(at: usize, failure: Failure) -> Self {
        Self { at: Some(at), by_itself: true, later: false, failure }
    }

    /// The batch failed as a whole.
    pub(crate) fn somewhere(failure: Failure) -> Self {
        Self { at: None, by_itself: false, later: false, failure }
    }

    /// Nothing failed: a limit has the batch wait.
    pub(crate) fn later() -> Self {
        Self { later: true, ..Self::somewhere(Failure::transient("a limit has it wait")) }
    }
}

/// When a reaction makes ready what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// The application is opened, perhaps by a tool that runs no handler.
    ToBeSeen,
    /// Its handler begins to run.
    ToRun,
}

#[async_trait]
pub(crate) trait Reaction: Send + Sync {
    fn event_types(&self) -> Vec<&'static EventType>;

    fn handles(&self, event_type: &str) -> bool;

    /// Whether events of this type are passed over on purpose ([`Upcasters::drop`](factstream_core::decode::Upcasters::drop)).
    fn drops(&self, _event_type: &str) -> bool {
        false
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError>;

    /// What the consumer's own decoder makes of a record; `None` leaves it to the framework.
    fn decode_record(&self, _record: &Record) -> Result<Option<message::Decoded>, Unreadable> {
        Ok(None)
    }

    /// What else it is given, as the build of the handler has it: another build that takes other inputs is another one.
    fn other_inputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a timer that is due is to the reaction; an error says why it takes none like it.
    fn decode_timer(&self, _timer: &DueTimer) -> Result<Decoded, String> {
        Err("this handler takes no timers".to_owned())
    }

    /// Whether [`Reaction::begin`] has anything to do.
    fn begins(&self) -> bool {
        false
    }

    /// Done when the application is opened, and before the first batch each time the handler begins to run: what it needs to have in the
    /// store.
    async fn begin(&self, _begins: Begins, _tx: &mut Tx) -> Result<(), Error> {
        Ok(())
    }

    /// The key in whose order events are handled, where that is another than the aggregate's id.
    fn order_key(&self, _event: &Decoded) -> Option<String> {
        None
    }

    /// Other keys that it is handled for, each by itself and in its own order.
    fn further_keys(&self, _event: &Decoded) -> Vec<String> {
        Vec::new()
    }

    /// Of keys that are aliases: the keys that they stand for, as far as these are known. An alias never comes to stand for another one.
    async fn keys_of_aliases(
        &self,
        _aliases: &BTreeSet<&str>,
        _store: &dyn Store,
    ) -> Result<HashMap<String, String>, Error> {
        Ok(HashMap::new())
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

    /// The event as its own handler has it: what a rate's key is taken of.
    fn envelope<'a>(&self, event: &'a Decoded) -> &'a (dyn Any + Send + Sync) {
        event.as_ref()
    }

    /// Handles the events in order, in one transaction.
    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure>;

    /// What fills a new, empty table with the same rows, where that can be done over many batches in memory.
    fn filling(&self) -> Option<Box<dyn Filling>> {
        None
    }
}

/// The event as its own set has it.
pub(crate) fn typed<E: 'static>(event: &Decoded) -> &Envelope<E> {
    event.downcast_ref().expect("an event is decoded by the handler that it is given to")
}

/// A reaction that many tasks share.
pub(crate) type SharedReaction = Arc<dyn Reaction>;
