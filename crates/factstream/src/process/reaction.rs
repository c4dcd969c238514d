//! A process as the processor meets it: each event in the order of the instances that it concerns.

use super::acts::Act;
use super::aliases::{self, Aliases};
use super::correlate::{Missing, Target, To};
use super::history::{EVENT, REFUSED, TIMER};
use super::input::{Input, Refused};
use super::instances::{Entry, Instances};
use super::perform::{Cancelled, Of, Perform};
use super::received::{message_type, read};
use super::step::{REACTIONS_MAX, correlated, take};
use super::traits::Process;
use crate::error::Error;
use crate::handler::Failure;
use crate::handler::reaction::{BatchFailure, Decoded, Reaction, Ready};
use crate::processor::unit;
use crate::statements as sql;
use crate::timer::DueTimer;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::{Envelope, Position};
use factstream_core::event::{EventSet, EventType};
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::store::Store;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;

/// The reaction of a process.
pub(crate) struct Managing<P> {
    decoder: Decoder,
    /// Those that come from the log.
    types: HashSet<&'static str>,
    /// Those that come from topics, as facts.
    received: Vec<&'static EventType>,
    process: PhantomData<fn() -> P>,
}

/// What an instance asked for.
type ToDo = Vec<Box<dyn Perform>>;

/// What has come, and the instances that it concerns, or why these cannot be told.
struct Correlated<E> {
    arrived: Arrived<E>,
    targets: Result<Vec<Target>, String>,
}

enum Arrived<E> {
    /// With its place in the log of this store, which is not that of a message from another one, and its id there.
    Event {
        event: Box<Envelope<E>>,
        id: String,
        position: Option<Position>,
    },
    Timer {
        name: String,
        token: String,
    },
}

impl<P: Process> Managing<P> {
    pub(crate) fn new(decoder: Decoder, received: Vec<&'static EventType>) -> Self {
        let from_log = P::Events::event_types()
            .into_iter()
            .filter(|of| !received.iter().any(|other| other.name == of.name));
        let types = from_log.flat_map(EventType::names).collect();
        Self { decoder, types, received, process: PhantomData }
    }

    /// The instance whose delivery it is.
    fn target<'a>(ready: &Ready<'a>, aliases: &Aliases) -> Result<Option<&'a Target>, Failure> {
        let correlated = arrival::<P::Events>(ready.event);
        let targets = correlated.targets.as_ref().map_err(|reason| {
            Failure::permanent(format!(
                "{} cannot tell which instances this event concerns: {reason}",
                P::NAME
            ))
        })?;
        if is_on(Sabotage::ProcessKeyByAggregate) {
            return Ok(targets.first());
        }
        let is_meant =
            |target: &&Target| target.to.key() == ready.key || aliases.id_of(&target.to) == Some(ready.key);
        // One that names the instance by its id, too, may have come before the alias.
        let by_alias = targets.iter().filter(|target| matches!(target.to, To::Alias(..))).find(is_meant);
        match by_alias.or_else(|| targets.iter().find(is_meant)) {
            None if !targets.is_empty() => Err(Failure::permanent(format!(
                "it stands in the order of the instance {:?}, and correlates with {:?} now; edit it so that it concerns the same \
                 instance, or discard it",
                unit::shown(ready.key, ""),
                targets.iter().map(|target| target.to.shown()).collect::<Vec<_>>()
            ))),
            found => Ok(found),
        }
    }

    /// Has the instance take the input; `None` when it is not for it, or not any more.
    async fn take_in(
        ready: &Ready<'_>,
        work: &mut Work<P>,
        tx: &mut Tx,
    ) -> Result<Option<(String, ToDo)>, Failure> {
        let Some(Target { to, starts, missing }) = Self::target(ready, &work.aliases)? else {
            return Ok(None);
        };
        let found = match work.aliases.id_of(to) {
            Some(id) => work.instances.open(id, *starts)?.map(|open| (id, open)),
            None => None,
        };
        let Some((id, open)) = found else {
            return match missing {
                Missing::Skip => Ok(None),
                Missing::DeadLetter => Err(Failure::permanent(is_missing::<P>(to))),
            };
        };
        if work.aliases.has_joined(id) {
            // The processor has it handled in a batch of its own, where it finds them.
            return Err(Failure::transient("inputs of this instance that came before by its alias wait"));
        }
        let arrived = &arrival::<P::Events>(ready.event).arrived;
        if open.ended || arrived.is_stale(&open.retimed) {
            return Ok(None); // it comes after the end, or not any more
        }
        if !arrived.is_new_after(open.position) {
            // It comes again; but by an alias it may have come before the instance had it.
            let waited = matches!(to, To::Alias(..)) && arrived.position() != Some(open.position);
            let known = params![P::NAME, id, arrived.id()];
            if !waited || !tx.query(sql::SELECT_PROCESS_TAKEN, known).await?.is_empty() {
                return Ok(None);
            }
        }
        open.position = open.position.max(arrived.position().unwrap_or(0));
        let entry = arrived.entry(ready.edited, work.now);
        let to_do = Self::step(id, &mut work.instances, arrived.input(), entry)?;
        Ok(Some((id.to_owned(), to_do)))
    }

    /// Has the instance take one input and keeps it; what it asks for.
    fn step(
        id: &str,
        instances: &mut Instances<P>,
        input: Input<'_, P::Events>,
        entry: Entry,
    ) -> Result<ToDo, Failure> {
        let Some(open) = instances.open(id, false)? else { return Ok(Vec::new()) };
        let acts = take(id, &mut open.state, input)?;
        open.ended |= acts.ends();
        let (acts, to_do) = acts.into_parts();
        open.retimed.extend(acts.iter().filter_map(Act::timer_name));
        instances.note(id, entry, acts)?;
        Ok(to_do)
    }

    /// Does what an instance asked for, and what it asks for when that is refused.
    async fn perform(
        (at, ready): (usize, &Ready<'_>),
        id: &str,
        to_do: ToDo,
        work: &mut Work<P>,
        tx: &mut Tx,
    ) -> Result<(), Failure> {
        let arrived = &arrival::<P::Events>(ready.event).arrived;
        tx.caused_by(ready.origin.clone());
        let mut refusals = VecDeque::from(work.perform_all((id, at), to_do, tx).await?);
        let mut reactions = 1;
        while let Some(refused) = refusals.pop_front() {
            if reactions >= REACTIONS_MAX {
                return Err(Failure::permanent(format!(
                    "{} was refused {REACTIONS_MAX} commands because of one input; it must not answer a refusal with the same command",
                    P::NAME
                )));
            }
            let input_id = format!("{}#{reactions}", arrived.id());
            let input = Some(serde_json::to_string(&refused).map_err(Failure::permanent)?);
            let entry = Entry { kind: REFUSED, input_id, position: None, input, at: work.now };
            let to_do = Self::step(id, &mut work.instances, Input::Refused(&refused), entry)?;
            refusals.extend(work.perform_all((id, at), to_do, tx).await?);
            reactions += 1;
        }
        if work.instances.open(id, false)?.is_some_and(|open| open.ended) {
            work.cancelled.all_of(id);
        }
        Ok(())
    }

    /// Has different instances take an input each, and does what they ask for, one after the other. What they command is read first, in one
    /// trip.
    async fn round(
        round: &[(usize, &Ready<'_>)],
        work: &mut Work<P>,
        tx: &mut Tx,
    ) -> Result<(), BatchFailure> {
        let mut asked = Vec::with_capacity(round.len());
        for (at, ready) in round {
            let taken = Self::take_in(ready, work, tx).await;
            let taken = taken.map_err(|failure| BatchFailure::at(*at, failure))?;
            asked.extend(taken.map(|(id, to_do)| (*at, *ready, id, to_do)));
        }
        let streams = asked.iter().flat_map(|(_, _, _, to_do)| to_do.iter().filter_map(|act| act.stream()));
        let streams: Vec<_> = streams.collect();
        tx.read_ahead(streams).await.map_err(|error| BatchFailure::somewhere(Failure::transient(error)))?;
        for (at, ready, id, to_do) in asked {
            let done = Self::perform((at, ready), &id, to_do, work, tx).await;
            done.map_err(|failure| BatchFailure::at(at, failure))?;
        }
        work.aliases.write(P::NAME, tx).await
    }
}

/// What a batch works on.
struct Work<P> {
    instances: Instances<P>,
    aliases: Aliases,
    cancelled: Cancelled,
    now: Timestamp,
}

impl<P: Process> Work<P> {
    /// Does what an instance asked for; the commands that were refused.
    async fn perform_all(
        &mut self,
        (id, at): (&str, usize),
        to_do: ToDo,
        tx: &mut Tx,
    ) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        for act in to_do {
            let of =
                Of { process: P::NAME, id, cancelled: &mut self.cancelled, aliases: &mut self.aliases, at };
            refused.extend(act.perform(of, tx).await?);
        }
        Ok(refused)
    }
}

impl<E> Arrived<E> {
    fn input(&self) -> Input<'_, E> {
        match self {
            Self::Event { event, .. } => Input::Event(event),
            Self::Timer { name, .. } => Input::Timer(name),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Event { id, .. } => id,
            Self::Timer { token, .. } => token,
        }
    }

    fn position(&self) -> Option<Position> {
        match self {
            Self::Event { position, .. } => *position,
            Self::Timer { .. } => None,
        }
    }

    /// Whether an instance that has come to this position has not taken it yet.
    fn is_new_after(&self, position: Position) -> bool {
        self.position().is_none_or(|own| own > position)
    }

    /// Whether it is a timer that was set anew or cancelled since it was read.
    fn is_stale(&self, retimed: &BTreeSet<String>) -> bool {
        matches!(self, Self::Timer { name, .. } if retimed.contains(name))
    }

    /// What is kept of it.
    fn entry(&self, edited: Option<&str>, at: Timestamp) -> Entry {
        let (kind, input) = match self {
            Self::Event { .. } => (EVENT, edited.map(str::to_owned)),
            Self::Timer { name, .. } => (TIMER, Some(name.clone())),
        };
        Entry { kind, input_id: self.id().to_owned(), position: self.position(), input, at }
    }
}

fn is_missing<P: Process>(to: &To) -> String {
    let name = P::NAME;
    match to {
        To::Id(id) => format!(
            "{name} has no instance {id:?} to go on with; if it may be missing, write Correlate::go_on(..).or(Missing::Skip)"
        ),
        To::Alias(alias, _) => format!(
            "no instance of {name} has the alias {alias} yet; when one is given it, this is handled by itself. If that may never happen, \
             write Correlate::go_on_by(..).or(Missing::Skip)"
        ),
    }
}

fn arrival<E: 'static>(event: &Decoded) -> &Correlated<E> {
    event.downcast_ref().expect("an event is decoded by the handler that it is given to")
}

#[async_trait]
impl<P: Process> Reaction for Managing<P> {
    fn event_types(&self) -> Vec<&'static EventType> {
        let types = P::Events::event_types().into_iter();
        types.filter(|of| self.types.contains(of.name)).collect()
    }

    fn handles(&self, event_type: &str) -> bool {
        let of_topic = message_type(P::NAME, event_type);
        self.types.contains(event_type) || of_topic.is_some_and(|received| !self.decoder.drops(received))
    }

    fn drops(&self, event_type: &str) -> bool {
        self.decoder.drops(message_type(P::NAME, event_type).unwrap_or(event_type))
    }

    fn other_inputs(&self) -> Vec<String> {
        self.received.iter().map(|of| format!("{} of a topic", of.name)).collect()
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let (id, position) = (envelope.event_id.clone(), envelope.position);
        let event = Box::new(read::<P>(&self.decoder, envelope, json)?);
        let targets = correlated::<P>(&event);
        Ok(Box::new(Correlated { arrived: Arrived::Event { event, id, position }, targets }))
    }

    fn decode_timer(&self, timer: &DueTimer) -> Result<Decoded, String> {
        let arrived = Arrived::<P::Events>::Timer { name: timer.name.clone(), token: timer.token.clone() };
        let target = Target { to: To::Id(timer.key.clone()), starts: false, missing: Missing::Skip };
        Ok(Box::new(Correlated { arrived, targets: Ok(vec![target]) }))
    }

    /// Inputs of one instance wait for each other, whatever aggregates they come from (G15).
    fn order_key(&self, event: &Decoded) -> Option<String> {
        if is_on(Sabotage::ProcessKeyByAggregate) {
            return None;
        }
        let targets = arrival::<P::Events>(event).targets.as_ref().ok()?;
        targets.first().map(|target| target.to.key().to_owned())
    }

    /// An event of several instances is delivered to each.
    fn further_keys(&self, event: &Decoded) -> Vec<String> {
        let targets = arrival::<P::Events>(event).targets.as_deref().unwrap_or_default();
        targets.iter().skip(1).map(|target| target.to.key().to_owned()).collect()
    }

    async fn keys_of_aliases(
        &self,
        aliases: &BTreeSet<&str>,
        store: &dyn Store,
    ) -> Result<HashMap<String, String>, Error> {
        aliases::known(P::NAME, aliases, store).await
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure> {
        if batch.is_empty() {
            return Ok(());
        }
        let whole = BatchFailure::somewhere;
        let named = batch.iter().filter_map(|ready| arrival::<P::Events>(ready.event).targets.as_ref().ok());
        let by_alias = named.flatten().filter(|target| matches!(target.to, To::Alias(..)));
        let keys: BTreeSet<&str> = by_alias.map(|target| target.to.key()).collect();
        let aliases = Aliases::load(P::NAME, &keys, tx).await.map_err(whole)?;
        let targets: Vec<Option<&Target>> =
            batch.iter().map(|ready| Self::target(ready, &aliases).ok().flatten()).collect();
        let ids = targets.iter().flatten().filter_map(|target| aliases.id_of(&target.to)).collect();
        let instances = Instances::<P>::load(&ids, tx).await.map_err(whole)?;
        let now = tx.kernel().clock.now();
        let mut work = Work { instances, aliases, cancelled: Cancelled::default(), now };
        let (mut round, mut in_round) = (Vec::with_capacity(batch.len()), BTreeSet::new());
        for (at, (ready, target)) in batch.iter().zip(targets).enumerate() {
            let id = |work: &Work<P>| target.map(|target| work.aliases.id_of(&target.to).map(str::to_owned));
            // What comes before it may give the alias that it comes by.
            let is_clear = match id(&work) {
                Some(Some(id)) => in_round.insert(id),
                Some(None) => round.is_empty(),
                None => true,
            };
            if !is_clear {
                Self::round(&round, &mut work, tx).await?;
                round.clear();
                in_round = id(&work).flatten().into_iter().collect();
            }
            round.push((at, ready));
        }
        Self::round(&round, &mut work, tx).await?;
        let Work { instances, cancelled, now, .. } = work;
        cancelled.write(P::NAME, tx).await.map_err(|error| whole(Failure::transient(error)))?;
        instances.save(now, tx).await.map_err(whole)
    }
}
