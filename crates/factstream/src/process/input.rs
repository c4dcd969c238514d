//! What an instance is given.

use crate::handler::Failure;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::Envelope;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// What an instance of a process reacts to.
///
/// ```
/// # use factstream::{Envelope, Event, Input};
/// # #[derive(Event, serde::Serialize, serde::Deserialize)]
/// # enum OrderEvent { OrderCreated {} }
/// fn what(input: &Input<'_, OrderEvent>) -> String {
///     match input {
///         Input::Event(event) => format!("{} of {}", event.event_type, event.aggregate_id),
///         Input::Refused(refused) => format!("{} says no to {}: {}", refused.id, refused.command, refused.reason),
///         Input::Timer(name) => format!("{name} is due"),
///         _ => String::new(), // other kinds of inputs may come
///     }
/// }
/// # assert_eq!(what(&Input::Event(&Envelope::of("o-1", OrderEvent::OrderCreated {}))), "OrderCreated of o-1");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a, E> {
    /// An event that correlates with it.
    Event(&'a Envelope<E>),
    /// A command that it asked for was refused by its aggregate. It comes in the transaction of the input that asked for it, before
    /// any other input; nothing of the command took effect, and what else was asked for did.
    Refused(&'a Refused),
    /// A timer of this name, which it has set, is due.
    Timer(&'a str),
}

/// A command that an aggregate refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The aggregate's type.
    pub aggregate: String,
    /// The aggregate's id.
    pub id: String,
    /// The command's name: the first word of its `Debug` text, for example `Reserve`.
    pub command: String,
    /// Why, in the aggregate's own words.
    pub reason: String,
}

impl Refused {
    /// A command that is asked for, and may be refused.
    pub(crate) fn asked<A: Aggregate, C: Command<A> + Debug>(id: &str, command: &C) -> Self {
        let command = first_word(&format!("{command:?}")).to_owned();
        Self { aggregate: A::TYPE.to_owned(), id: id.to_owned(), command, reason: String::new() }
    }

    /// It was refused because of this.
    pub(crate) fn because(self, reason: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { reason: Failure::permanent(reason).chain().join(": "), ..self }
    }
}

/// The first word of a command's text: the struct's or the variant's name.
fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}
