//! Given, when, then: tests of an aggregate without a store.
//!
//! ```
//! # use factstream_core as factstream;
//! # use factstream_core::{aggregate::{Aggregate, Command}, testkit::given};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Clone, PartialEq, factstream_macros::Event, Serialize, Deserialize)]
//! # enum DoorEvent { Opened, Closed }
//! # #[derive(Default, Clone)]
//! # struct Door { open: bool }
//! # impl Aggregate for Door {
//! #     const TYPE: &'static str = "door";
//! #     type Event = DoorEvent;
//! #     fn apply(&mut self, event: &DoorEvent) { self.open = matches!(event, DoorEvent::Opened); }
//! # }
//! # struct Open;
//! # #[derive(Debug, PartialEq, thiserror::Error)]
//! # #[error("the door is open already")]
//! # struct AlreadyOpen;
//! # impl Command<Door> for Open {
//! #     type Error = AlreadyOpen;
//! #     fn decide(&self, door: &Door) -> Result<Vec<DoorEvent>, AlreadyOpen> {
//! #         if door.open { Err(AlreadyOpen) } else { Ok(vec![DoorEvent::Opened]) }
//! #     }
//! # }
//! given::<Door>([DoorEvent::Opened, DoorEvent::Closed]).when(Open).then([DoorEvent::Opened]);
//! given::<Door>([DoorEvent::Opened]).when(Open).then_error(AlreadyOpen);
//! ```

mod envelope;

use crate::aggregate::{Aggregate, Command};
use std::fmt::Debug;

/// An aggregate with this history.
///
/// # Panics
/// When an event does not survive the way through its JSON: what a store would give back differs.
pub fn given<A: Aggregate>(history: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in history {
        state.apply(&through_json(&event));
    }
    Given { state }
}

/// The event as a store would give it back, so that a serde mistake shows in the test.
fn through_json<E: crate::event::Event>(event: &E) -> E {
    let name = event.event_type().name;
    let json = event.encode().unwrap_or_else(|error| panic!("{name} cannot be written as JSON: {error}"));
    match E::decode(name, &json) {
        Some(Ok(event)) => event,
        Some(Err(error)) => panic!("{name} cannot be read back from {json}: {error}"),
        None => panic!("{name} is not known to its own enum"),
    }
}

/// An aggregate that a command can be put to.
#[derive(Debug)]
pub struct Given<A> {
    state: A,
}

impl<A: Aggregate> Given<A> {
    /// Puts a command to it.
    pub fn when<C: Command<A>>(self, command: C) -> When<A, C::Error> {
        let decided = command.decide(&self.state);
        When { state: self.state, decided }
    }

    /// The state after the history.
    pub fn state(&self) -> &A {
        &self.state
    }
}

/// What a command decided.
#[derive(Debug)]
#[must_use = "say what must follow: .then(..) or .then_error(..)"]
pub struct When<A: Aggregate, E> {
    state: A,
    decided: Result<Vec<A::Event>, E>,
}

impl<A: Aggregate, E: std::error::Error> When<A, E> {
    /// These events must follow. Gives the state after them, for more checks.
    ///
    /// # Panics
    /// When other events, or an error, follow.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> A
    where
        A::Event: Debug + PartialEq,
    {
        let wanted: Vec<A::Event> = events.into_iter().collect();
        let decided = self.decided.unwrap_or_else(|error| panic!("the command was refused: {error}"));
        assert_eq!(decided, wanted, "the command decided on other events");
        let mut state = self.state;
        for event in &decided {
            state.apply(&through_json(event));
        }
        state
    }

    /// The command must be refused with this error.
    ///
    /// # Panics
    /// When it is accepted, or refused with another error.
    #[track_caller]
    pub fn then_error(self, error: E)
    where
        E: Debug + PartialEq,
        A::Event: Debug,
    {
        match self.decided {
            Ok(events) => panic!("the command was accepted: {events:?}"),
            Err(found) => assert_eq!(found, error, "the command was refused for another reason"),
        }
    }
}
