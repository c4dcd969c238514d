//! Where a processor's events come from: the store's own log (projections) or topics of a broker (consumers).
//!
//! Invariant: a batch and its end go together; what lies before the end is handled, held or not for this handler, so
//! progress may be recorded up to it. Polling again means that nothing of the last batch is in flight.

use crate::error::Error;
use crate::handler::options::{Tombstones, UnknownTypes};
use crate::handler::reaction::SharedReaction;
use crate::processor::amendments::Amendments;
use crate::processor::delivery::{Content, Delivery, Known};
use crate::processor::layout::Layouts;
use crate::processor::shard::Shard;
use factstream_core::broker::{Partition, Subscription};
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::store::Store;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Types that are told apart among the events of a batch that no handler names.
const SKIPPED_TYPES_MAX: usize = 64;
const OTHERS: &str = "(others)";

pub(crate) enum Source {
    Log(Log),
    Topics(Topics),
}

/// Some events, and how far they reach.
pub(crate) struct Batch {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) end: End,
    /// Events that are not for this handler, and tombstones.
    pub(crate) skipped: u64,
    /// Of topics, the newest time of a record, in the order of the end's partitions.
    pub(crate) newest: Vec<Option<Timestamp>>,
    /// Of a consumer, how many of each type that no handler names.
    pub(crate) skipped_types: BTreeMap<String, u64>,
}

pub(crate) enum End {
    Log(Position),
    Topics(Vec<(Partition, i64)>),
}

/// The store's log, after a checkpoint.
pub(crate) struct Log {
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
}

/// Topics, as a member of a group.
pub(crate) struct Topics {
    pub(crate) subscription: Box<dyn Subscription>,
    pub(crate) unknown_types: UnknownTypes,
    pub(crate) tombstones: Tombstones,
    /// What was published before may have been handled by an earlier build, under the identity that it gave.
    pub(crate) former_until: Option<Timestamp>,
}

impl Source {
    /// The next events; `None` when there were none within `wait`.
    pub(crate) async fn next(
        &mut self,
        events_max: usize,
        wait: Duration,
        reaction: &SharedReaction,
        service: &Arc<str>,
    ) -> Result<Option<Batch>, Error> {
        match self {
            Self::Log(log) => log.next(events_max, wait, reaction, service).await,
            Self::Topics(topics) => topics.next(events_max, wait, reaction, service).await,
        }
    }

    /// Records progress with the broker, after the work.
    pub(crate) async fn commit(&mut self, end: &End) -> Result<(), Error> {
        if let (Self::Topics(topics), End::Topics(next)) = (self, end) {
            topics.subscription.commit(next).await?;
        }
        Ok(())
    }
}

impl Log {
    /// What was read may be of a log that is there no more.
    fn refuse_other_history(&self) -> Result<(), Error> {
        if self.store.history() == self.history {
            return Ok(());
        }
        Err(Error::Superseded { handler: "a reader of the log".to_owned() })
    }

    async fn next(
        &mut self,
        events_max: usize,
        wait: Duration,
        reaction: &SharedReaction,
        service: &Arc<str>,
    ) -> Result<Option<Batch>, Error> {
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
        let is_mine = |event: &RecordedEvent| {
            reaction.handles(&event.event_type)
                && self.shard.has(&event.aggregate_id)
                && !self.layouts.have_handled(&event.aggregate_id, event.position)
        };
        let mine: Vec<RecordedEvent> = events.into_iter().filter(is_mine).collect();
        let mine = self.amendments.apply(mine).await?;
        let deliveries: Vec<Delivery> =
            mine.into_iter().map(|event| Delivery::of_event(event, reaction.as_ref(), service)).collect();
        let skipped = (all - deliveries.len()) as u64;
        Ok(Some(Batch {
            deliveries,
            end: End::Log(end),
            skipped,
            newest: Vec::new(),
            skipped_types: BTreeMap::new(),
        }))
    }
}

impl Topics {
    async fn next(
        &mut self,
        events_max: usize,
        wait: Duration,
        reaction: &SharedReaction,
        service: &Arc<str>,
    ) -> Result<Option<Batch>, Error> {
        let records = self.subscription.poll(events_max, wait).await?;
        if records.is_empty() {
            return Ok(None);
        }
        let mut next: BTreeMap<Partition, (i64, Option<Timestamp>)> = BTreeMap::new();
        let mut deliveries = Vec::with_capacity(records.len());
        let (mut skipped, mut skipped_types) = (0, BTreeMap::new());
        for record in records {
            match next.get_mut(&record.partition) {
                Some((next, newest)) => {
                    *next = record.offset + 1;
                    *newest = (*newest).max(record.timestamp);
                }
                None => drop(next.insert(record.partition.clone(), (record.offset + 1, record.timestamp))),
            }
            let known = match (record.timestamp, self.former_until) {
                (Some(published), Some(until)) if published < until => Known::Formerly,
                _ => Known::Itself,
            };
            let mut delivery = Delivery::of_record(record, known, reaction.as_ref(), service);
            delivery.skip_tombstone(self.tombstones, reaction.as_ref());
            let is_dropped = || delivery.event_type.as_deref().is_some_and(|name| reaction.drops(name));
            if self.unknown_types == UnknownTypes::DeadLetter && !is_dropped() {
                delivery.refuse_if_not_mine();
            }
            if matches!(delivery.content, Content::NotMine | Content::Skipped) {
                skipped += 1;
                if matches!(delivery.content, Content::NotMine) {
                    count(&mut skipped_types, delivery.event_type.unwrap_or_default());
                }
            } else {
                deliveries.push(delivery);
            }
        }
        let (next, newest) =
            next.into_iter().map(|(partition, (next, newest))| ((partition, next), newest)).unzip();
        Ok(Some(Batch { deliveries, end: End::Topics(next), skipped, newest, skipped_types }))
    }
}

/// Counts an event of a type; of more types in one batch than anybody names, only some are told apart (G13).
fn count(types: &mut BTreeMap<String, u64>, event_type: String) {
    let known = types.len() < SKIPPED_TYPES_MAX || types.contains_key(&event_type);
    *types.entry(if known { event_type } else { OTHERS.to_owned() }).or_default() += 1;
}
