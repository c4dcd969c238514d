//! A process as the processor meets it: each event in the order of the instances that it concerns.

use super::acts::Act;
use super::correlate::{Missing, Target};
use super::history::{EVENT, REFUSED, TIMER};
use super::input::{Input, Refused};
use super::instances::{Entry, Instances};
use super::perform::{Cancelled, Of, Perform};
use super::received::{message_type, read};
use super::step::{REACTIONS_MAX, correlated, take};
use super::traits::Process;
use crate::handler::Failure;
use crate::handler::reaction::{BatchFailure, Decoded, Reaction, Ready};
use crate::timer::DueTimer;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::{Envelope, Position};
use factstream_core::event::{EventSet, EventType};
use factstream_core::sabotage::{Sabotage, is_on};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashSet, VecDeque};
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
    fn target<'a>(ready: &Ready<'a>) -> Result<Option<&'a Target>, Failure> {
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
        match targets.iter().find(|target| target.id == ready.key) {
            None if !targets.is_empty() => Err(Failure::permanent(format!(
                "it stands in the order of the instance {:?}, and correlates with {:?} now; edit it so that it concerns the same \
                 instance, or discard it",
                ready.key,
                targets.iter().map(|target| &target.id).collect::<Vec<_>>()
            ))),
            found => Ok(found),
        }
    }

    /// Has the instance take the input; `None` when it is not for it, or not any more.
    fn take_in(
        ready: &Ready<'_>,
        instances: &mut Instances<P>,
        now: Timestamp,
    ) -> Result<Option<ToDo>, Failure> {
        let Some(Target { id, starts, missing }) = Self::target(ready)? else { return Ok(None) };
        let Some(open) = instances.open(id, *starts)? else {
            return match missing {
                Missing::Skip => Ok(None),
                Missing::DeadLetter => Err(Failure::permanent(format!(
                    "{} has no instance {id:?} to go on with; if it may be missing, write Correlate::go_on(..).or(Missing::Skip)",
                    P::NAME
                ))),
            };
        };
        let arrived = &arrival::<P::Events>(ready.event).arrived;
        if open.ended || !arrived.is_new_after(open.position) || arrived.is_stale(&open.retimed) {
            return Ok(None); // it comes after the end, or again, or not any more
        }
        open.position = arrived.position().unwrap_or(open.position);
        let entry = arrived.entry(ready.edited, now);
        Self::step(id, instances, arrived.input(), entry).map(Some)
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
    async fn perform(ready: &Ready<'_>, to_do: ToDo, work: &mut Work<P>, tx: &mut Tx) -> Result<(), Failure> {
        let Some(Target { id, .. }) = Self::target(ready)? else { return Ok(()) };
        let arrived = &arrival::<P::Events>(ready.event).arrived;
        tx.caused_by(ready.origin.clone());
        let mut refusals = VecDeque::from(work.perform_all(id, to_do, tx).await?);
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
            let entry = Entry { kind: REFUSED, input_id, input, at: work.now };
            let to_do = Self::step(id, &mut work.instances, Input::Refused(&refused), entry)?;
            refusals.extend(work.perform_all(id, to_do, tx).await?);
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
            let taken = Self::take_in(ready, &mut work.instances, work.now);
            asked.extend(
                taken.map_err(|failure| BatchFailure::at(*at, failure))?.map(|to_do| (*at, *ready, to_do)),
            );
        }
        let streams = asked.iter().flat_map(|(_, _, to_do)| to_do.iter().filter_map(|act| act.stream()));
        let streams: Vec<_> = streams.collect();
        tx.read_ahead(streams).await.map_err(|error| BatchFailure::somewhere(Failure::transient(error)))?;
        for (at, ready, to_do) in asked {
            let done = Self::perform(ready, to_do, work, tx).await;
            done.map_err(|failure| BatchFailure::at(at, failure))?;
        }
        Ok(())
    }
}

/// What a batch works on.
struct Work<P> {
    instances: Instances<P>,
    cancelled: Cancelled,
    now: Timestamp,
}

impl<P: Process> Work<P> {
    /// Does what an instance asked for; the commands that were refused.
    async fn perform_all(&mut self, id: &str, to_do: ToDo, tx: &mut Tx) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        for act in to_do {
            let of = Of { process: P::NAME, id, cancelled: &mut self.cancelled };
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
        let input_id = self.id().to_owned();
        match self {
            Self::Event { .. } => Entry { kind: EVENT, input_id, input: edited.map(str::to_owned), at },
            Self::Timer { name, .. } => Entry { kind: TIMER, input_id, input: Some(name.clone()), at },
        }
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
        let target = Target { id: timer.key.clone(), starts: false, missing: Missing::Skip };
        Ok(Box::new(Correlated { arrived, targets: Ok(vec![target]) }))
    }

    /// Inputs of one instance wait for each other, whatever aggregates they come from (G15).
    fn order_key(&self, event: &Decoded) -> Option<String> {
        if is_on(Sabotage::ProcessKeyByAggregate) {
            return None;
        }
        let targets = arrival::<P::Events>(event).targets.as_ref().ok()?;
        targets.first().map(|target| target.id.clone())
    }

    /// An event of several instances is delivered to each.
    fn further_keys(&self, event: &Decoded) -> Vec<String> {
        let targets = arrival::<P::Events>(event).targets.as_deref().unwrap_or_default();
        targets.iter().skip(1).map(|target| target.id.clone()).collect()
    }

    async fn react(&self, batch: &[Ready<'_>], tx: &mut Tx) -> Result<(), BatchFailure> {
        if batch.is_empty() {
            return Ok(());
        }
        let whole = BatchFailure::somewhere;
        let ids: Vec<Option<&str>> = batch
            .iter()
            .map(|ready| Self::target(ready).ok().flatten().map(|target| target.id.as_str()))
            .collect();
        let all: BTreeSet<&str> = ids.iter().copied().flatten().collect();
        let instances = Instances::<P>::load(&all, tx).await.map_err(whole)?;
        let mut work = Work { instances, cancelled: Cancelled::default(), now: tx.kernel().clock.now() };
        let (mut round, mut in_round) = (Vec::with_capacity(batch.len()), BTreeSet::new());
        for (at, (ready, id)) in batch.iter().zip(&ids).enumerate() {
            if id.is_some_and(|id| !in_round.insert(id)) {
                Self::round(&round, &mut work, tx).await?;
                round.clear();
                in_round = id.iter().copied().collect();
            }
            round.push((at, ready));
        }
        Self::round(&round, &mut work, tx).await?;
        let Work { instances, cancelled, now } = work;
        cancelled.write(P::NAME, tx).await.map_err(|error| whole(Failure::transient(error)))?;
        instances.save(now, tx).await.map_err(whole)
    }
}
