//! Which aggregates record which events, so that no two of them share a name.
//!
//! Invariant: a handler names events by their type alone. So one name in the log means one enum, and one aggregate type one aggregate:
//! this is checked when an application is opened for what is declared, and at its first use for an aggregate that is not.

use crate::error::Error;
use crate::kernel::names::RESERVED;
use factstream_core::aggregate::Aggregate;
use factstream_core::envelope::check_id;
use factstream_core::event::{EventSet, EventType};
use std::any::{TypeId, type_name};
use std::collections::{HashMap, HashSet};

/// An aggregate that records events.
#[derive(Debug, Clone)]
struct Emitter {
    aggregate: &'static str,
    aggregate_type: &'static str,
}

/// The aggregates of one application.
#[derive(Debug, Default, Clone)]
pub(crate) struct Emitters {
    known: HashSet<TypeId>,
    by_type: HashMap<&'static str, Emitter>,
    by_event: HashMap<&'static str, (Emitter, &'static EventType)>,
}

impl Emitters {
    /// The aggregates that are known.
    pub(crate) fn known(&self) -> &HashSet<TypeId> {
        &self.known
    }

    /// Takes an aggregate in.
    ///
    /// # Errors
    /// [`Error::Wiring`] when another aggregate has its type, or another enum of events one of its names.
    pub(crate) fn add<A: Aggregate>(&mut self) -> Result<(), Error> {
        if self.known.contains(&TypeId::of::<A>()) {
            return Ok(());
        }
        check_id("aggregate type", A::TYPE)?;
        refuse_reserved::<A>()?;
        let emitter = Emitter { aggregate: type_name::<A>(), aggregate_type: A::TYPE };
        if let Some(other) = self.by_type.get(A::TYPE) {
            return Err(shared_type(other, &emitter));
        }
        let types = A::Event::event_types();
        for (name, event_type) in types.iter().flat_map(|of| of.names().map(move |name| (name, of))) {
            if let Some((other, named)) = self.by_event.get(name)
                && named.declared_by != event_type.declared_by
            {
                return Err(shared_name(name, (other, named), (&emitter, event_type)));
            }
        }
        for event_type in types {
            self.by_event.extend(event_type.names().map(|name| (name, (emitter.clone(), event_type))));
        }
        self.by_type.insert(A::TYPE, emitter);
        self.known.insert(TypeId::of::<A>());
        Ok(())
    }
}

/// Streams and events of the framework's own are told apart by their names.
fn refuse_reserved<A: Aggregate>() -> Result<(), Error> {
    let types = A::Event::event_types();
    let of_events = types.iter().flat_map(|of| of.names()).map(|name| ("records the event type", name));
    let mut names = std::iter::once(("has the TYPE", A::TYPE)).chain(of_events);
    match names.find(|(_, name)| name.starts_with(RESERVED)) {
        None => Ok(()),
        Some((what, name)) => Err(Error::Wiring(format!(
            "the aggregate {} {what} {name:?}: names that begin with {RESERVED:?} are the framework's own. Give it another",
            type_name::<A>()
        ))),
    }
}

fn shared_type(one: &Emitter, other: &Emitter) -> Error {
    Error::Wiring(format!(
        "the aggregates {} and {} have the same TYPE, {:?}: each would load the other's events. Give one of them \
         another",
        one.aggregate, other.aggregate, one.aggregate_type
    ))
}

fn shared_name(name: &str, one: (&Emitter, &EventType), other: (&Emitter, &EventType)) -> Error {
    Error::Wiring(format!(
        "the event type {name} is recorded by {} (as {}) and by {} (as {}): handlers of one would be given the events \
         of the other. Give one of them another name, for example #[event(name = \"{}{name}\")]",
        one.0.aggregate,
        one.1.declared_by,
        other.0.aggregate,
        other.1.declared_by,
        capitalised(other.0.aggregate_type),
    ))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars().filter(char::is_ascii_alphanumeric);
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
