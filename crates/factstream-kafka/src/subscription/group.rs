//! What librdkafka tells a member: partitions that come and go, and reasons of errors.
//!
//! Invariants: a partition without a committed offset starts at its oldest record because we say so, not by a reset.
//! A partition that goes is remembered until the member has given up the records that it holds of it.

use crate::broker::ANSWER;
use crate::config::Reasons;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// A partition as librdkafka names it.
pub(super) type Place = (String, i32);

/// The context of a member's client.
pub(super) struct Group {
    pub(super) reasons: Reasons,
    revoked: Mutex<HashSet<Place>>,
}

impl Group {
    pub(super) fn new(reasons: Reasons) -> Self {
        Self { reasons, revoked: Mutex::default() }
    }

    /// The partitions that went since this was asked last.
    pub(super) fn take_revoked(&self) -> HashSet<Place> {
        std::mem::take(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        // Progress that was sent without waiting: it is sent again, and what stands in its way is told then.
        let level = if facility == "COMMITFAIL" { RDKafkaLogLevel::Debug } else { level };
        self.reasons.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reasons.error(error, reason);
    }
}

impl ConsumerContext for Group {
    // Runs on the member's thread, within its poll, before the partitions are taken or given up.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Err(error) = start_new_ones_at_the_oldest(consumer, partitions) {
                    // Those without an offset then stop with an error, and the member is started again.
                    tracing::warn!(%error, "the group's offsets could not be read");
                }
                tracing::debug!(partitions = ?places(partitions), "partitions came");
            }
            Rebalance::Revoke(partitions) => {
                tracing::debug!(partitions = ?places(partitions), "partitions go");
                self.revoked.lock().unwrap_or_else(PoisonError::into_inner).extend(places(partitions));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed; it is tried again"),
        }
    }
}

fn start_new_ones_at_the_oldest(
    consumer: &BaseConsumer<Group>,
    assigned: &TopicPartitionList,
) -> KafkaResult<()> {
    if assigned.count() == 0 {
        return Ok(());
    }
    let committed = consumer.committed_offsets(assigned.clone(), ANSWER)?;
    for mut element in assigned.elements() {
        let found = committed.find_partition(element.topic(), element.partition());
        if found.is_some_and(|found| found.error().is_ok() && found.offset() == Offset::Invalid) {
            element.set_offset(Offset::Beginning)?;
        }
    }
    Ok(())
}

pub(super) fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}
