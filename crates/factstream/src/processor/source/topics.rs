//! Topics of a broker, read as a member of a group.

use super::{Batch, End, For, Opening, Reader, Source};
use crate::error::Error;
use crate::handler::options::{Tombstones, UnknownTypes};
use crate::kernel::Kernel;
use crate::processor::delivery::{Content, Delivery, Known};
use crate::processor::offsets;
use async_trait::async_trait;
use factstream_core::broker::{Lag, Partition, Subscription};
use factstream_core::envelope::Position;
use factstream_core::message::Record;
use factstream_core::store::StoreError;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::time::Duration;
use tokio::task::JoinError;

/// Types that are told apart among the events of a batch that no handler names.
const SKIPPED_TYPES_MAX: usize = 64;
const OTHERS: &str = "(others)";

/// These topics.
pub(crate) struct Topics(pub(crate) Vec<String>);

#[async_trait]
impl Source for Topics {
    fn has_checkpoint(&self) -> bool {
        false
    }

    fn topics(&self) -> &[String] {
        &self.0
    }

    fn has_one_owner(&self, kernel: &Kernel) -> bool {
        kernel.groups_need_lease
    }

    async fn lag(&self, kernel: &Kernel, handler: &str, _at: Position) -> Result<Lag, Error> {
        Ok(kernel.broker.lag(handler, &self.0).await?)
    }

    async fn open(&self, opening: Opening<'_>) -> Result<Box<dyn Reader>, Error> {
        let Opening { kernel, handler, .. } = opening;
        let cluster = kernel.broker.cluster().await?;
        // The embedded broker's own offsets lie in the store already.
        let stored = match kernel.groups_need_lease {
            true => Vec::new(),
            false => offsets::stored(kernel.store.as_ref(), handler, &cluster).await?,
        };
        let subscription = kernel.broker.subscribe(handler, &opening.claim.topics, &stored).await?;
        Ok(Box::new(TopicsReader {
            subscription,
            cluster,
            unknown_types: opening.options.unknown_types,
            tombstones: opening.options.tombstones,
            former_until: kernel.former_until,
            gives_back: opening.gives_back,
            of: For::of(&opening),
        }))
    }
}

/// From so many records on, another thread decodes half of them: to wake it costs as much as some ten records. A core is free for it then,
/// for the database waits for this batch.
const SHARED_FROM: usize = 64;

/// A member of a group.
struct TopicsReader {
    subscription: Box<dyn Subscription>,
    cluster: String,
    unknown_types: UnknownTypes,
    tombstones: Tombstones,
    /// What was published before may have been handled by an earlier build, under the identity that it gave.
    former_until: Option<Timestamp>,
    gives_back: bool,
    of: For,
}

/// The records as deliveries, in their order.
async fn decode(
    mut records: Vec<Record>,
    former_until: Option<Timestamp>,
    of: &For,
) -> Result<Vec<Delivery>, Error> {
    if records.len() < SHARED_FROM {
        return Ok(decode_each(records, former_until, of));
    }
    let (second_half, of_other) = (records.split_off(records.len() / 2), of.clone());
    let other = tokio::task::spawn_blocking(move || decode_each(second_half, former_until, &of_other));
    let mut deliveries = decode_each(records, former_until, of);
    match other.await.map_err(JoinError::try_into_panic) {
        Ok(others) => deliveries.extend(others),
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => return Err(StoreError::Closed.into()), // the runtime ends
    }
    Ok(deliveries)
}

fn decode_each(records: Vec<Record>, former_until: Option<Timestamp>, of: &For) -> Vec<Delivery> {
    let decode = |record: Record| {
        let known = match (record.timestamp, former_until) {
            (Some(published), Some(until)) if published < until => Known::Formerly,
            _ => Known::Itself,
        };
        Delivery::of_record(record, known, of.reaction.as_ref(), &of.service)
    };
    records.into_iter().map(decode).collect()
}

#[async_trait]
impl Reader for TopicsReader {
    async fn next(&mut self, events_max: usize, wait: Duration) -> Result<Option<Batch>, Error> {
        let records = self.subscription.poll(events_max, wait).await?;
        if records.is_empty() {
            return Ok(None);
        }
        let mut next: BTreeMap<Partition, (i64, Option<Timestamp>)> = BTreeMap::new();
        for record in &records {
            match next.get_mut(&record.partition) {
                Some((next, newest)) => {
                    *next = record.offset + 1;
                    *newest = (*newest).max(record.timestamp);
                }
                None => drop(next.insert(record.partition.clone(), (record.offset + 1, record.timestamp))),
            }
        }
        let mut deliveries = decode(records, self.former_until, &self.of).await?;
        let reaction = self.of.reaction.as_ref();
        let (mut skipped, mut skipped_types, mut passed_over) = (0, BTreeMap::new(), Vec::new());
        let is_passed_over = |delivery: &mut Delivery| {
            delivery.skip_tombstone(self.tombstones, reaction);
            let is_dropped = || delivery.event_type.as_deref().is_some_and(|name| reaction.drops(name));
            if self.unknown_types == UnknownTypes::DeadLetter && !is_dropped() {
                delivery.refuse_if_not_mine();
            }
            matches!(delivery.content, Content::NotMine | Content::Skipped)
        };
        for mut delivery in deliveries.extract_if(.., is_passed_over) {
            skipped += 1;
            if matches!(delivery.content, Content::NotMine) {
                count(&mut skipped_types, delivery.event_type.take().unwrap_or_default());
            }
            if self.gives_back {
                passed_over.extend(delivery.into_record());
            }
        }
        let (next, newest) =
            next.into_iter().map(|(partition, (next, newest))| ((partition, next), newest)).unzip();
        Ok(Some(Batch { deliveries, end: End::Offsets(next), skipped, passed_over, newest, skipped_types }))
    }

    async fn commit(&mut self, end: &End) -> Result<(), Error> {
        if let End::Offsets(next) = end {
            self.subscription.commit(next).await?;
        }
        Ok(())
    }

    async fn give_back(&mut self, batch: Batch) -> Result<(), Error> {
        let mut records = batch.passed_over;
        records.extend(batch.deliveries.into_iter().filter_map(Delivery::into_record));
        records.sort_by(|one, other| (&one.partition, one.offset).cmp(&(&other.partition, other.offset)));
        Ok(self.subscription.give_back(records).await?)
    }

    fn cluster(&self) -> Option<&str> {
        Some(&self.cluster)
    }
}

/// Counts an event of a type; of more types in one batch than anybody names, only some are told apart (G13).
fn count(types: &mut BTreeMap<String, u64>, event_type: String) {
    let known = types.len() < SKIPPED_TYPES_MAX || types.contains_key(&event_type);
    *types.entry(if known { event_type } else { OTHERS.to_owned() }).or_default() += 1;
}
