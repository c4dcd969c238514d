//! A handler between its declaration and the application that runs it: its name is checked, its events get their decoders, and it is known
//! where these come from.

use crate::error::Error;
use crate::handler::declare::{Consumer, Projection};
use crate::handler::dispatch::Handlers;
use crate::handler::options::Options;
use crate::handler::reaction::Reaction;
use crate::handler::tables::{Managed, Table};
use crate::kernel::names::RESERVED;
use crate::kernel::states::States;
use crate::leases;
use crate::limits::{Gate, Limits};
use crate::process::Process;
use crate::process::reaction::Managing;
use crate::process::received::{self, Topics};
use crate::processor::shard::Shard;
use crate::processor::source::Source;
use crate::processor::source::log::Log;
use crate::processor::source::timers::{Timers, WithTimers};
use crate::processor::source::topics;
use crate::processor::{HandlerKind, Spec};
use crate::read_model::FoldRows;
use crate::read_model::folding::Folding;
use crate::scheduled::commands::Commands;
use crate::scheduled::recurring::Recurrences;
use crate::scheduled::{Scheduled, handler_of};
use factstream_core::envelope::check_id;
use factstream_core::event::{EventSet, EventType};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

/// A handler as it was declared, before the decoders are there.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) kind: HandlerKind,
    options: Options,
    limits: Limits,
    reacting: Reacting,
}

/// What it does with events.
enum Reacting {
    Handlers(Handlers, Vec<Table>),
    Fold(Box<dyn MakeFold>),
    Process(Box<dyn MakeProcess>),
}

/// Makes the reaction of a fold, once the decoders are there.
trait MakeFold: Send {
    fn make(&self, states: &States) -> Result<(Arc<dyn Reaction>, Managed), Error>;
}

struct FoldOf<R>(PhantomData<fn() -> R>);

impl<R: FoldRows> MakeFold for FoldOf<R> {
    fn make(&self, states: &States) -> Result<(Arc<dyn Reaction>, Managed), Error> {
        Ok((Arc::new(Folding::<R>::new(states.decoder::<R::Events>()?)), Managed::of::<R>()))
    }
}

/// Makes the reaction of a process, once the decoders are there.
trait MakeProcess: Send {
    fn make(&self, states: &States) -> Result<Arc<dyn Reaction>, Error>;
}

struct ProcessOf<P> {
    topics: Topics,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> MakeProcess for ProcessOf<P> {
    fn make(&self, states: &States) -> Result<Arc<dyn Reaction>, Error> {
        if P::Events::event_types().is_empty() {
            return Err(Error::Wiring(format!(
                "the process {} names no event type, so nothing would ever start it; give it an enum of events",
                P::NAME
            )));
        }
        if P::VERSION == 0 {
            return Err(Error::Wiring(format!(
                "the process {} has VERSION 0; versions of a state begin with 1",
                P::NAME
            )));
        }
        self.topics.refuse_twins(P::NAME)?;
        Ok(Arc::new(Managing::<P>::new(states.decoder::<P::Events>()?, self.topics.event_types().to_vec())))
    }
}

impl Declared {
    pub(super) fn projection(projection: Projection) -> Self {
        let Projection { name, options, handlers, tables } = projection;
        let (kind, limits) = (HandlerKind::Projection, Limits::default());
        Self { name, kind, options, limits, reacting: Reacting::Handlers(handlers, tables) }
    }

    pub(super) fn consumer(consumer: Consumer) -> Self {
        let Consumer { name, options, limits, handlers, tables } = consumer;
        let reacting = Reacting::Handlers(handlers, tables);
        Self { name, kind: HandlerKind::Consumer, options, limits, reacting }
    }

    /// A fold of the log.
    pub(super) fn fold<R: FoldRows>(name: String, options: Options) -> Self {
        let reacting = Reacting::Fold(Box::new(FoldOf::<R>(PhantomData)));
        Self { name, kind: HandlerKind::ReadModel, options, limits: Limits::default(), reacting }
    }

    /// The consumer of a process's topics.
    pub(super) fn inputs<P: Process>(topics: Topics, options: Options) -> Self {
        let reacting = Reacting::Handlers(received::handlers::<P>(topics), Vec::new());
        let options = Options { version: 1, ..options }; // that of a process is its state's
        let (name, kind) = (received::consumer_of(P::NAME), HandlerKind::Consumer);
        Self { name, kind, options, limits: Limits::default(), reacting }
    }

    /// A process manager.
    pub(super) fn process<P: Process>(topics: Topics, options: Options) -> Self {
        let reacting = Reacting::Process(Box::new(ProcessOf::<P> { topics, process: PhantomData }));
        let limits = Limits::default();
        Self { name: P::NAME.to_owned(), kind: HandlerKind::Process, options, limits, reacting }
    }

    /// The topics of its events.
    pub(super) fn topics(&self) -> Vec<&'static str> {
        match &self.reacting {
            Reacting::Handlers(handlers, _) => {
                handlers.event_types().iter().filter_map(|event_type| event_type.topic).collect()
            }
            Reacting::Fold(_) | Reacting::Process(_) => Vec::new(),
        }
    }

    /// Gives it its decoders and checks it; its tables come to the others.
    pub(super) fn wire(self, states: &States, managed: &mut Vec<Managed>) -> Result<Spec, Error> {
        check_handler_name(&self.name)?;
        let (name, kind, options) = (self.name, self.kind, self.options);
        let gate = Gate::new(&name, &self.limits, options.retry.max_attempts)?.map(Arc::new);
        let reaction: Arc<dyn Reaction> = match self.reacting {
            Reacting::Handlers(mut handlers, tables) => {
                handlers.wire(states, &name)?;
                if !tables.is_empty() {
                    managed.push(Managed { projection: name.clone(), tables });
                }
                Arc::new(handlers)
            }
            Reacting::Fold(fold) => {
                let (reaction, table) = fold.make(states)?;
                managed.push(table);
                reaction
            }
            Reacting::Process(process) => process.make(states)?,
        };
        let source: Arc<dyn Source> = match kind {
            HandlerKind::Consumer => Arc::new(topics::Topics(topics_of(&name, &reaction.event_types())?)),
            HandlerKind::ReadModel | HandlerKind::Projection => Arc::new(Log { is_read_again: true }),
            HandlerKind::Scheduled => Arc::new(Timers),
            HandlerKind::Process => Arc::new(WithTimers(Arc::new(Log { is_read_again: false }))),
        };
        Ok(Spec { handler: name.clone(), name, shard: Shard::WHOLE, kind, reaction, options, gate, source })
    }
}

/// The handler of what a service has scheduled.
pub(super) fn scheduled(
    (commands, recurrences): (Commands, Recurrences),
    service: &str,
    formerly: &BTreeSet<String>,
) -> Spec {
    let name = handler_of(service);
    let formerly = formerly.iter().map(|former| handler_of(former)).collect();
    Spec {
        name: name.clone(),
        handler: name.clone(),
        shard: Shard::WHOLE,
        kind: HandlerKind::Scheduled,
        reaction: Arc::new(Scheduled { handler: name, formerly, commands, recurrences }),
        options: Options::default(),
        gate: None,
        source: Arc::new(Timers),
    }
}

/// The topics that carry a consumer's events.
fn topics_of(consumer: &str, event_types: &[&'static EventType]) -> Result<Vec<String>, Error> {
    let mut topics = BTreeSet::new();
    for event_type in event_types {
        let Some(topic) = event_type.topic else {
            return Err(Error::Wiring(format!(
                "the consumer {consumer} wants {}, which is private and reaches no topic; declare an enum of just the events that it needs, make it public, or use a projection",
                event_type.name
            )));
        };
        topics.insert(topic.to_owned());
    }
    Ok(topics.into_iter().collect())
}

/// Refuses names that could be taken for others: of shards, and the framework's own.
fn check_handler_name(name: &str) -> Result<(), Error> {
    check_id("handler name", name)?;
    let is_shard = name.rfind('#').is_some_and(|at| leases::is_shard(&name[at..]));
    if is_shard || name.starts_with(RESERVED) {
        return Err(Error::Wiring(format!(
            "{name:?} cannot be a handler's name: it must not begin with {RESERVED:?} nor end like a shard's (#1/2)"
        )));
    }
    Ok(())
}
