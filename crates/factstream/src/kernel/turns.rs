//! Whose turn it is to decide on a stream. Callers of one process queue for it, in the order in which they came, so that they never
//! conflict with each other: a conflict is between processes only.
//!
//! Invariants: a queue is about efficiency, never about correctness: an append still checks its stream's version (G2). Every queue
//! is bounded (G13), and so is the time in it. A turn that ends, in whatever way, goes to the next in the queue. A stream with one caller has no
//! queue: its turn is an entry in a map.

use crate::error::Error;
use crate::tasks::lock;
use factstream_core::envelope::StreamId;
use std::any::Any;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Callers that may wait for one stream.
pub(crate) const WAITING_MAX: usize = 4_096;
/// How long a caller waits for its turn.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// After this long with one caller, whose future is perhaps not polled any more, the next goes on without it.
const OVERTAKE_AFTER: Duration = Duration::from_secs(1);

/// How many may wait, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) waiting_max: usize,
    pub(crate) wait_max: Duration,
}

/// Something that waits for its turn.
pub(crate) trait Waiter: Any + Send {
    /// Whether nobody waits for its answer any more.
    fn has_left(&self) -> bool;

    /// Its turn has come; nobody else's begins until this one is dropped.
    fn take(self: Box<Self>, turn: Turn);
}

/// The turns of all streams.
pub(crate) struct Turns {
    streams: Mutex<Streams>,
    limits: Limits,
    /// Where commands go on whose callers are not there to do it.
    runtime: OnceLock<Handle>,
}

#[derive(Default)]
struct Streams {
    queues: HashMap<StreamId, Queue, lru::DefaultHasher>,
    last_number: u64,
}

struct Queue {
    /// The turn that holds the stream.
    holder: u64,
    /// Whether that is a caller's own future, which may never be polled again.
    may_be_overtaken: bool,
    waiting: VecDeque<(u64, Box<dyn Waiter>)>,
}

/// The right to decide on a stream, until it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    stream: StreamId,
    number: u64,
}

/// A place in a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    number: u64,
    /// The turn before it, should that be one that may be overtaken.
    behind: Option<u64>,
}

impl Streams {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl Turns {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { streams: Mutex::default(), limits, runtime: OnceLock::new() }
    }

    /// Commands whose callers are away go on in this runtime.
    pub(crate) fn run_in(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.get().cloned().or_else(|| Handle::try_current().ok())
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        lock(&self.streams)
    }

    /// The turn, when nobody has it.
    pub(crate) fn enter(self: &Arc<Self>, stream: &StreamId) -> Option<Turn> {
        let mut streams = self.streams();
        let number = streams.next_number();
        let Entry::Vacant(free) = streams.queues.entry(stream.clone()) else { return None };
        free.insert(Queue { holder: number, may_be_overtaken: true, waiting: VecDeque::new() });
        drop(streams);
        Some(Turn { turns: Arc::clone(self), stream: stream.clone(), number })
    }

    /// Takes a place at the end of the queue. Should the turn be free by now, it is given to the waiter at once.
    fn wait(self: &Arc<Self>, stream: &StreamId, waiter: Box<dyn Waiter>) -> Result<Place, Error> {
        let _left: VecDeque<_>; // dropped after the lock is given back: commands are their users' own
        let mut streams = self.streams();
        let number = streams.next_number();
        let Some(queue) = streams.queues.get_mut(stream) else {
            let queue = Queue { holder: number, may_be_overtaken: false, waiting: VecDeque::new() };
            streams.queues.insert(stream.clone(), queue);
            drop(streams);
            waiter.take(Turn { turns: Arc::clone(self), stream: stream.clone(), number });
            return Ok(Place { number, behind: None });
        };
        if queue.waiting.len() >= self.limits.waiting_max {
            let all = std::mem::take(&mut queue.waiting);
            (_left, queue.waiting) = all.into_iter().partition(|(_, waiter)| waiter.has_left());
        }
        if queue.waiting.len() >= self.limits.waiting_max {
            let waiting = queue.waiting.len();
            return Err(Error::StreamBusy {
                stream: stream.clone(),
                reason: format!("{waiting} callers wait for it already"),
            });
        }
        queue.waiting.push_back((number, waiter));
        let behind = queue.may_be_overtaken.then_some(queue.holder);
        drop(streams);
        Ok(Place { number, behind })
    }

    /// Leaves the queue; `false` when its turn has come already.
    fn leave(&self, stream: &StreamId, place: Place) -> bool {
        let mut streams = self.streams();
        let Some(queue) = streams.queues.get_mut(stream) else { return false };
        let at = queue.waiting.iter().position(|(number, _)| *number == place.number);
        let left = at.and_then(|at| queue.waiting.remove(at));
        drop(streams);
        left.is_some()
    }

    /// Takes the turn from its holder and gives it to the next, should the holder still be this one.
    fn pass_on(self: &Arc<Self>, stream: &StreamId, holder: u64) {
        let mut left = Vec::new();
        let mut streams = self.streams();
        let number = streams.next_number();
        let Entry::Occupied(mut held) = streams.queues.entry(stream.clone()) else { return };
        let queue = held.get_mut();
        if queue.holder != holder {
            return;
        }
        let next = loop {
            match queue.waiting.pop_front() {
                Some((_, waiter)) if waiter.has_left() => left.push(waiter),
                next => break next,
            }
        };
        let Some((_, waiter)) = next else {
            held.remove();
            return;
        };
        (queue.holder, queue.may_be_overtaken) = (number, false);
        drop(streams);
        waiter.take(Turn { turns: Arc::clone(self), stream: stream.clone(), number });
    }

    /// Queues and waits for the answer, as long as the limits allow.
    ///
    /// # Errors
    /// [`Error::StreamBusy`]: nothing of it was done.
    pub(crate) async fn queue<T>(
        self: &Arc<Self>,
        stream: &StreamId,
        waiter: Box<dyn Waiter>,
        mut answer: oneshot::Receiver<T>,
    ) -> Result<Option<T>, Error> {
        let place = self.wait(stream, waiter)?;
        let wait_max = self.limits.wait_max;
        let patience = if place.behind.is_some() { OVERTAKE_AFTER.min(wait_max) } else { wait_max };
        if let Ok(answered) = tokio::time::timeout(patience, &mut answer).await {
            return Ok(answered.ok());
        }
        if let Some(behind) = place.behind {
            self.pass_on(stream, behind);
            if let Ok(answered) = tokio::time::timeout(wait_max.saturating_sub(patience), &mut answer).await {
                return Ok(answered.ok());
            }
        }
        match self.leave(stream, place) {
            true => Err(Error::StreamBusy {
                stream: stream.clone(),
                reason: format!("its turn did not come within {wait_max:?}"),
            }),
            false => Ok(answer.await.ok()), // it is being done: the store has limits of its own
        }
    }

    /// The turns of several streams, for a transaction that lost on them; before it begins, and always in the same order, so that
    /// no two wait for each other.
    pub(crate) async fn of_all(self: &Arc<Self>, streams: &BTreeSet<StreamId>) -> Result<Vec<Turn>, Error> {
        let mut turns = Vec::with_capacity(streams.len());
        for stream in streams {
            let (sender, receiver) = oneshot::channel();
            let turn = self.queue(stream, Box::new(Wanted(sender)), receiver).await?;
            turns.extend(turn);
        }
        Ok(turns)
    }
}

impl Turn {
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    pub(crate) fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The next in the queue, should it be a `W` that fits; who has left is passed over.
    pub(crate) fn next_if<W: Waiter>(&self, fits: impl FnOnce(&W) -> bool) -> Option<Box<W>> {
        let mut left = Vec::new();
        let mut streams = self.turns.streams();
        let queue = streams.queues.get_mut(&self.stream).filter(|queue| queue.holder == self.number)?;
        while let Some((_, waiter)) = queue.waiting.pop_front_if(|(_, waiter)| waiter.has_left()) {
            left.push(waiter);
        }
        let (_, next) = queue.waiting.pop_front_if(|(_, waiter)| {
            let waiter: &dyn Any = &**waiter;
            waiter.downcast_ref().is_some_and(fits)
        })?;
        drop(streams);
        let next: Box<dyn Any> = next;
        next.downcast().ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.pass_on(&self.stream, self.number);
    }
}

/// Somebody who wants the turn itself.
struct Wanted(oneshot::Sender<Turn>);

impl Waiter for Wanted {
    fn has_left(&self) -> bool {
        self.0.is_closed()
    }

    fn take(self: Box<Self>, turn: Turn) {
        let _ = self.0.send(turn); // unheard, it is dropped, and goes to the next
    }
}
