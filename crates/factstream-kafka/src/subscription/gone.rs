//! Which partition cannot go on where the group stands: librdkafka says only that there is one.

use super::group::Group;
use crate::config::ANSWER;
use crate::place::partition_of;
use factstream_core::broker::{BrokerError, Partition};
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};

/// Why a member reads nothing any more.
pub(super) enum Halt {
    /// Only a person can move the group on.
    Gone(Gone),
    /// librdkafka's reason, where every partition could go on by now: a new member will.
    Passing(String),
}

/// A partition that has no record where the group stands.
#[derive(Clone)]
pub(super) struct Gone {
    partition: Partition,
    at: i64,
    oldest: i64,
    end: i64,
}

impl Halt {
    pub(super) fn error(&self) -> BrokerError {
        match self {
            Self::Gone(gone) => gone.error(),
            Self::Passing(reason) => BrokerError::Engine(reason.clone()),
        }
    }
}

impl Gone {
    fn error(&self) -> BrokerError {
        let Self { partition, at, oldest, end } = self.clone();
        if at < oldest {
            return BrokerError::OffsetGone { partition, committed: at, oldest };
        }
        BrokerError::OffsetBeyondEnd { partition, next: at, end }
    }
}

/// Looks through the member's partitions. `None` when every one of them could go on.
fn find(consumer: &BaseConsumer<Group>) -> KafkaResult<Option<Gone>> {
    let assigned = consumer.assignment()?;
    if assigned.count() == 0 {
        return Ok(None);
    }
    let read_to = consumer.position()?;
    let committed = consumer.committed_offsets(assigned.clone(), ANSWER)?;
    for element in assigned.elements() {
        let (topic, partition) = (element.topic(), element.partition());
        let [read_to, committed] = [&read_to, &committed].map(|list| {
            match list.find_partition(topic, partition).map(|found| found.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        });
        let stored = consumer.context().stored(&(topic.to_owned(), partition));
        let Some(at) = read_to.or(committed).or(stored) else { continue };
        let (oldest, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        if at < oldest || at > end {
            let partition = partition_of(topic, partition);
            return Ok(Some(Gone { partition, at, oldest, end }));
        }
    }
    Ok(None)
}

/// What librdkafka stopped for.
pub(super) fn explain(consumer: &BaseConsumer<Group>, error: &KafkaError) -> Halt {
    let reasons = &consumer.context().reasons;
    match find(consumer) {
        Ok(Some(gone)) => {
            if gone.at > gone.end {
                consumer.context().doubt(&gone.partition.topic);
            }
            Halt::Gone(gone)
        }
        Ok(None) => Halt::Passing(reasons.explain(error).to_string()),
        Err(error) => Halt::Passing(reasons.explain(&error).to_string()),
    }
}
