//! A command that may be decided by another task than its caller's: its types hidden, its answer sent back.

use crate::error::Error;
use crate::kernel::origin::Origin;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::{Position, Version};
use factstream_core::expected::ExpectedVersion;
use factstream_core::store::{Appended, CommandKey};
use std::any::{Any, type_name};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// How a command is to be executed, and where its events come from.
pub(crate) struct Asked {
    pub(crate) key: Option<CommandKey>,
    pub(crate) expected: Option<ExpectedVersion>,
    pub(crate) origin: Origin,
    pub(crate) wants_state: bool,
}

impl Asked {
    /// Without a key, at any version.
    pub(crate) fn of(origin: Origin) -> Self {
        Self { key: None, expected: None, origin, wants_state: false }
    }
}

/// A command on an aggregate.
pub(crate) struct Job<A: Aggregate> {
    pub(crate) command_type: &'static str,
    pub(crate) asked: Asked,
    pending: Box<dyn Pending<A>>,
}

/// What a command came to.
pub(crate) enum Answer<A: Aggregate, E> {
    /// Its events are on disk.
    Appended { version: Version, position: Position, events: Vec<A::Event>, state: Option<A> },
    /// Its key was used before.
    Repeated(Appended),
    /// It has nothing to change.
    Nothing { version: Version, state: Option<A> },
    /// The aggregate refuses it.
    Refused(E),
    /// The stream is not at the version that the caller wants it to be at.
    NotExpected { actual: Version },
    /// It could not be carried out.
    Failed(Error),
    /// `decide` panicked.
    Panicked(Box<dyn Any + Send>),
}

/// What deciding comes to. A refusal stays with the job, which knows its type.
pub(crate) enum Decided<E> {
    Events(Vec<E>),
    Refused,
    Panicked(Box<dyn Any + Send>),
}

/// Stands for a refusal where its type is hidden.
pub(crate) struct Hidden;

trait Pending<A: Aggregate>: Send {
    fn decide(&mut self, state: &A) -> Decided<A::Event>;
    fn has_left(&self) -> bool;
    fn answer(self: Box<Self>, answer: Answer<A, Hidden>);
}

struct Typed<A: Aggregate, C: Command<A>> {
    command: C,
    refusal: Option<C::Error>,
    reply: oneshot::Sender<Answer<A, C::Error>>,
}

impl<A: Aggregate, C: Command<A>> Pending<A> for Typed<A, C> {
    fn decide(&mut self, state: &A) -> Decided<A::Event> {
        match catch_unwind(AssertUnwindSafe(|| self.command.decide(state))) {
            Ok(Ok(events)) => Decided::Events(events),
            Ok(Err(refusal)) => {
                self.refusal = Some(refusal);
                Decided::Refused
            }
            Err(panic) => Decided::Panicked(panic),
        }
    }

    fn has_left(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, answer: Answer<A, Hidden>) {
        let answer = match answer {
            Answer::Appended { version, position, events, state } => {
                Answer::Appended { version, position, events, state }
            }
            Answer::Repeated(first) => Answer::Repeated(first),
            Answer::Nothing { version, state } => Answer::Nothing { version, state },
            Answer::Refused(Hidden) => {
                Answer::Refused(self.refusal.expect("a refusal is kept when it is decided"))
            }
            Answer::NotExpected { actual } => Answer::NotExpected { actual },
            Answer::Failed(error) => Answer::Failed(error),
            Answer::Panicked(panic) => Answer::Panicked(panic),
        };
        let _ = self.reply.send(answer); // unheard by a caller that has left
    }
}

impl<A: Aggregate> Job<A> {
    /// A job for this command, and where its answer comes.
    pub(crate) fn new<C: Command<A> + 'static>(
        command: C,
        asked: Asked,
    ) -> (Self, oneshot::Receiver<Answer<A, C::Error>>) {
        let (reply, answer) = oneshot::channel();
        let pending = Box::new(Typed { command, refusal: None, reply });
        (Self { command_type: type_name::<C>(), asked, pending }, answer)
    }

    /// Whether nobody waits for its answer any more.
    pub(crate) fn has_left(&self) -> bool {
        self.pending.has_left()
    }

    pub(crate) fn decide(&mut self, state: &A) -> Decided<A::Event> {
        self.pending.decide(state)
    }

    pub(crate) fn answer(self, answer: Answer<A, Hidden>) {
        self.pending.answer(answer);
    }
}
