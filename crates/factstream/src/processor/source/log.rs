//! The store's own log, read in commit order after a checkpoint, by one owner for each share of the keys.

use super::{Batch, End, For, Opening, Reader, Source};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::processor::amendments::Amendments;
use crate::processor::delivery::Delivery;
use crate::processor::layout::Layouts;
use crate::processor::shard::Shard;
use async_trait::async_trait;
use factstream_core::broker::Lag;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The log.
pub(crate) struct Log {
    /// Whether it may be read again from the beginning, so that what people decided about single events counts: a process never is, and
    /// an event that was discarded for one of its instances may concern others.
    pub(crate) is_read_again: bool,
}

#[async_trait]
impl Source for Log {
    fn has_checkpoint(&self) -> bool {
        true
    }

    fn has_one_owner(&self, _kernel: &Kernel) -> bool {
        true
    }

    async fn lag(&self, kernel: &Kernel, _handler: &str, at: Position) -> Result<Lag, Error> {
        let next = kernel.store.read_log(at, 1).await?;
        let oldest = next.first().map(|event| event.timestamp);
        Ok(Lag { events: next.len() as u64, oldest, ..Lag::default() })
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Box<dyn Reader>, Error> {
        let store = Arc::clone(&opening.kernel.store);
        Ok(Box::new(LogReader {
            history: store.history(),
            read_to: opening.at,
            shard: opening.shard,
            layouts: opening.claim.layouts.clone(),
            amendments: match self.is_read_again {
                true => Amendments::load(&store, opening.handler, opening.at).await?,
                false => Amendments::none(&store),
            },
            of: For::of(&opening),
            store,
        }))
    }
}

/// The log as a projection or a rebuild reads it.
pub(crate) struct LogReader {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) read_to: Position,
    /// The history of the log in which that is.
    pub(crate) history: u64,
    /// The share of the keys that is wanted.
    pub(crate) shard: Shard,
    /// What earlier divisions into shards have handled.
    pub(crate) layouts: Layouts,
    /// What people decided about single events.
    pub(crate) amendments: Amendments,
    pub(crate) of: For,
}

impl LogReader {
    /// What was read may be of a log that is there no more.
    fn refuse_other_history(&self) -> Result<(), Error> {
        if self.store.history() == self.history {
            return Ok(());
        }
        Err(Error::Superseded { handler: "a reader of the log".to_owned() })
    }
}

#[async_trait]
impl Reader for LogReader {
    async fn next(&mut self, events_max: usize, wait: Duration) -> Result<Option<Batch>, Error> {
        let mut events = self.store.read_log(self.read_to, events_max).await?;
        if events.is_empty() {
            if self.store.wait_beyond(self.read_to, wait).await? <= self.read_to {
                self.refuse_other_history()?;
                return Ok(None);
            }
            events = self.store.read_log(self.read_to, events_max).await?;
        }
        self.refuse_other_history()?;
        let Some(last) = events.last() else { return Ok(None) };
        let end = last.position;
        self.read_to = end;
        let all = events.len();
        let For { reaction, service } = &self.of;
        let is_mine = |event: &RecordedEvent| {
            reaction.handles(&event.event_type)
                && self.shard.has(&event.aggregate_id)
                && !self.layouts.have_handled(&event.aggregate_id, event.position)
        };
        let mine: Vec<RecordedEvent> = events.into_iter().filter(is_mine).collect();
        let mine = self.amendments.apply(mine).await?;
        let skipped = (all - mine.len()) as u64;
        let mut deliveries = Vec::with_capacity(mine.len());
        for event in mine {
            Delivery::add_each_of_event(event, reaction.as_ref(), service, &mut deliveries);
        }
        Ok(Some(Batch {
            deliveries,
            end: End::Position(end),
            skipped,
            passed_over: Vec::new(),
            newest: Vec::new(),
            skipped_types: BTreeMap::new(),
        }))
    }

    fn read_to(&self) -> Option<Position> {
        Some(self.read_to)
    }
}
