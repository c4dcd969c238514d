//! Where a handler's events come from: the store's own log (projections) or topics of a broker (consumers).
//!
//! A handler declares a [`Source`]; its processor opens it and goes on with a [`Reader`]. Invariant: a batch and its end go together;
//! what lies before the end is handled, held or not for this handler, so progress may be recorded up to it. Asking for the next
//! batch means that nothing of the last one is in flight.

pub(crate) mod log;
pub(crate) mod timers;
pub(crate) mod topics;

use crate::error::Error;
use crate::handler::options::Options;
use crate::handler::reaction::SharedReaction;
use crate::kernel::Kernel;
use crate::processor::claim::Claim;
use crate::processor::delivery::Delivery;
use crate::processor::shard::Shard;
use async_trait::async_trait;
use factstream_core::broker::{Lag, Partition};
use factstream_core::envelope::Position;
use factstream_core::message::Record;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where events come from, as a handler declares it.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Whether how far it is read is one position: a checkpoint, which moves with the effects and so fences them. Else it is an
    /// offset in each partition, and events are known by the inbox.
    fn has_checkpoint(&self) -> bool;

    /// The topics that it reads.
    fn topics(&self) -> &[String] {
        &[]
    }

    /// Whether one process at a time reads it, which owns it by a lease. Else each that joins is given a part.
    fn has_one_owner(&self, kernel: &Kernel) -> bool;

    /// What a handler has not come to yet: at least how many events, and since when. `at` is its checkpoint, where it has one.
    async fn lag(&self, kernel: &Kernel, handler: &str, at: Position) -> Result<Lag, Error>;

    /// Begins to read.
    async fn open(&self, opening: Opening<'_>) -> Result<Box<dyn Reader>, Error>;
}

/// Who begins to read, and from where.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) kernel: &'a Kernel,
    /// The handler, or its rebuild.
    pub(crate) handler: &'a str,
    pub(crate) claim: &'a Claim,
    pub(crate) shard: Shard,
    pub(crate) options: &'a Options,
    pub(crate) reaction: &'a SharedReaction,
    /// Whether batches may be given back.
    pub(crate) gives_back: bool,
    /// The checkpoint, where it has one.
    pub(crate) at: Position,
}

/// A source that is being read.
#[async_trait]
pub(crate) trait Reader: Send {
    /// The next events; `None` when there were none within `wait`.
    async fn next(&mut self, events_max: usize, wait: Duration) -> Result<Option<Batch>, Error>;

    /// Records progress with those who gave the events, after the work.
    async fn commit(&mut self, _end: &End) -> Result<(), Error> {
        Ok(())
    }

    /// Takes a batch back that was not handled to its end: the next one begins with it. Those who give the events learn meanwhile that
    /// the reader lives.
    async fn give_back(&mut self, _batch: Batch) -> Result<(), Error> {
        Ok(())
    }

    /// Where it was read to, where that is one position; also beyond events of others.
    fn read_to(&self) -> Option<Position> {
        None
    }

    /// The cluster that its offsets mean something in.
    fn cluster(&self) -> Option<&str> {
        None
    }
}

/// Some events, and how far they reach.
pub(crate) struct Batch {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) end: End,
    /// Events that are not for this handler, and tombstones.
    pub(crate) skipped: u64,
    /// Their records, where the batch may be given back.
    pub(crate) passed_over: Vec<Record>,
    /// Of offsets, the newest time of a record, in the order of the end's partitions.
    pub(crate) newest: Vec<Option<Timestamp>>,
    /// Of a consumer, how many of each type that no handler names.
    pub(crate) skipped_types: BTreeMap<String, u64>,
}

/// Where a batch ends: the position of its last event, or the next offset of each partition. Timers have no end: each is deleted by
/// itself.
pub(crate) enum End {
    Timers,
    Position(Position),
    Offsets(Vec<(Partition, i64)>),
}

/// What a reader makes of events: for whom, and on whose behalf what follows is recorded.
#[derive(Clone)]
pub(crate) struct For {
    pub(crate) reaction: SharedReaction,
    pub(crate) service: Arc<str>,
}

impl For {
    /// Whoever opens it.
    pub(crate) fn of(opening: &Opening<'_>) -> Self {
        Self { reaction: Arc::clone(opening.reaction), service: Arc::clone(&opening.kernel.service) }
    }
}
