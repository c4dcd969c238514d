//! Doing what a reaction asked for, in its transaction.

use super::alias::Alias;
use super::aliases::Aliases;
use super::input::Refused;
use crate::error::{Error, ExecuteError};
use crate::handler::Failure;
use crate::timer::{self, Due, NewTimer};
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::StreamId;
use std::any::type_name;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;

/// One act, ready to be done.
#[async_trait]
pub(super) trait Perform: Send {
    /// The stream that it looks at.
    fn stream(&self) -> Option<StreamId> {
        None
    }

    /// Does it; the refusal, where an aggregate refused it.
    async fn perform(self: Box<Self>, of: Of<'_>, tx: &mut Tx) -> Result<Option<Refused>, Failure>;
}

/// Which instance asks.
pub(super) struct Of<'a> {
    pub(super) process: &'static str,
    pub(super) id: &'a str,
    pub(super) cancelled: &'a mut Cancelled,
    pub(super) aliases: &'a mut Aliases,
    /// The place of its input in the batch.
    pub(super) at: usize,
}

/// Timers that are cancelled in this transaction, by instance and name: all at once, at its end. One that is set again after that is
/// none of them.
#[derive(Default)]
pub(super) struct Cancelled {
    named: BTreeSet<(String, String)>,
    /// Instances that have ended.
    all_of: Vec<String>,
}

impl Cancelled {
    pub(super) fn all_of(&mut self, id: &str) {
        self.all_of.push(id.to_owned());
    }

    /// Cancels them; those that were set in this transaction, too.
    pub(super) async fn write(self, process: &str, tx: &mut Tx) -> Result<(), Error> {
        let named = self.named.iter().map(|(id, name)| (id.as_str(), name.as_str()));
        timer::cancel_each(tx, process, named).await?;
        timer::cancel_all(tx, process, self.all_of.iter().map(String::as_str)).await
    }
}

/// A command to an aggregate.
pub(super) struct Commanding<A, C> {
    id: String,
    command: C,
    aggregate: PhantomData<fn() -> A>,
}

impl<A, C> Commanding<A, C> {
    pub(super) fn new(id: String, command: C) -> Self {
        Self { id, command, aggregate: PhantomData }
    }
}

#[async_trait]
impl<A: Aggregate, C: Command<A> + Debug + 'static> Perform for Commanding<A, C> {
    fn stream(&self) -> Option<StreamId> {
        StreamId::new(A::TYPE, self.id.as_str()).ok()
    }

    async fn perform(self: Box<Self>, _: Of<'_>, tx: &mut Tx) -> Result<Option<Refused>, Failure> {
        refuse_undeclared::<A>(tx)?;
        let asked = Refused::asked::<A, C>(&self.id, &self.command);
        match tx.command::<A, C>(&self.id, self.command).await {
            Ok(_) => Ok(None),
            Err(ExecuteError::Rejected(reason)) => Ok(Some(asked.because(reason))),
            Err(ExecuteError::Failed(error)) => Err(failure(error)),
        }
    }
}

/// Events of an aggregate, without a decision.
pub(super) struct Appending<A: Aggregate> {
    id: String,
    events: Vec<A::Event>,
}

impl<A: Aggregate> Appending<A> {
    pub(super) fn new(id: String, events: Vec<A::Event>) -> Self {
        Self { id, events }
    }
}

#[async_trait]
impl<A: Aggregate> Perform for Appending<A> {
    async fn perform(self: Box<Self>, _: Of<'_>, tx: &mut Tx) -> Result<Option<Refused>, Failure> {
        refuse_undeclared::<A>(tx)?;
        tx.append::<A>(&self.id, &self.events).await.map_err(failure)?;
        Ok(None)
    }
}

/// A timer to be set.
pub(super) struct Timing {
    pub(super) name: String,
    pub(super) due: Due,
}

#[async_trait]
impl Perform for Timing {
    async fn perform(self: Box<Self>, of: Of<'_>, tx: &mut Tx) -> Result<Option<Refused>, Failure> {
        of.cancelled.named.remove(&(of.id.to_owned(), self.name.clone()));
        let timer = NewTimer {
            key: of.id.to_owned(),
            name: self.name,
            due: self.due,
            payload_type: String::new(),
            payload: "null".to_owned(),
        };
        timer::set(tx, of.process, &timer).await.map_err(failure)?;
        Ok(None)
    }
}

/// A timer to be cancelled, by its name.
pub(super) struct Cancelling(pub(super) String);

#[async_trait]
impl Perform for Cancelling {
    async fn perform(self: Box<Self>, of: Of<'_>, _: &mut Tx) -> Result<Option<Refused>, Failure> {
        of.cancelled.named.insert((of.id.to_owned(), self.0));
        Ok(None)
    }
}

/// An alias to be given.
pub(super) struct Naming(pub(super) Alias);

#[async_trait]
impl Perform for Naming {
    async fn perform(self: Box<Self>, of: Of<'_>, _: &mut Tx) -> Result<Option<Refused>, Failure> {
        self.0.check().map_err(Failure::permanent)?;
        of.aliases.give(self.0, of.id, of.at);
        Ok(None)
    }
}

/// An aggregate that is not declared has topics that were never made, and names that were never checked.
fn refuse_undeclared<A: Aggregate>(tx: &Tx) -> Result<(), Failure> {
    match tx.kernel().states.is_declared::<A>() {
        true => Ok(()),
        false => Err(Failure::permanent(format!(
            "it asks for something of the aggregate {} (type {:?}), which this application does not declare; add \
             .aggregate::<..>() to its builder, then redrive this letter",
            type_name::<A>(),
            A::TYPE
        ))),
    }
}

/// What the process itself asked wrongly for is not tried again; what the store could not do is.
fn failure(error: Error) -> Failure {
    match error {
        Error::InvalidId(_)
        | Error::Encode { .. }
        | Error::NotReadBack { .. }
        | Error::Retired { .. }
        | Error::Timer { .. }
        | Error::Wiring(_) => Failure::permanent(error),
        error => Failure::transient(error),
    }
}
