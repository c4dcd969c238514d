//! What librdkafka tells a member: partitions that come and go, and reasons of errors.
//!
//! Invariants: a partition without a committed offset starts at the stored one, or else at its oldest record, because we say
//! so, not by a reset.
//! Offsets that another system has committed are noticed when their partition comes, and now and then after that.
//! A topic that is made again while it is read ends the member: the next one begins where a new member of the group does.
//! A partition that goes is remembered until the member has given up the records that it holds of it.

use crate::config::{ANSWER, Reasons};
use crate::made_again::{self, MadeAgain};
use crate::place::{Place, place};
use crate::standing;
use factstream_core::broker::{BrokerError, Committer, Stored};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The context of a member's client.
pub(super) struct Group {
    pub(super) reasons: Reasons,
    /// The group's name.
    name: String,
    ours: Option<Committer>,
    /// What is committed with each offset.
    committer: Option<String>,
    /// The other system whose group this is.
    theirs: Mutex<Option<Committer>>,
    /// Where to go on in partitions without a committed offset.
    stored: HashMap<Place, Stored>,
    resumed: Mutex<HashMap<Place, i64>>,
    /// Partitions that were read from their beginning, for their topic was made again: what is committed there since is of the new one.
    begun_again: Mutex<HashSet<Place>>,
    revoked: Mutex<HashSet<Place>>,
    /// A topic that was made again since the member came, and all that were since the process did.
    made_again_now: OnceLock<String>,
    made_again: MadeAgain,
    /// Whether librdkafka was in the middle of joining, as far as was heard since this was reset.
    joins: Mutex<Option<bool>>,
}

impl Group {
    pub(super) fn new(
        reasons: Reasons,
        name: &str,
        stored: &[Stored],
        ours: Option<&Committer>,
        made_again: MadeAgain,
    ) -> Self {
        let stored = stored.iter().map(|stored| (place(&stored.partition), stored.clone())).collect();
        Self {
            reasons,
            name: name.to_owned(),
            ours: ours.cloned(),
            committer: ours.map(Committer::to_text),
            theirs: Mutex::default(),
            stored,
            resumed: Mutex::default(),
            begun_again: Mutex::default(),
            revoked: Mutex::default(),
            made_again_now: OnceLock::new(),
            made_again,
            joins: Mutex::default(),
        }
    }

    /// Where to go on in a partition without a committed offset, if that is known.
    pub(super) fn stored(&self, place: &Place) -> Option<i64> {
        self.stored.get(place).map(|stored| stored.next)
    }

    /// What is committed with each offset.
    pub(super) fn committer(&self) -> Option<&str> {
        self.committer.as_deref()
    }

    /// Why nothing may be read: the group is another system's, as far as was seen.
    pub(super) fn refusal(&self) -> Option<BrokerError> {
        let theirs = self.theirs.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(standing::refusal(&self.name, theirs, self.ours.as_ref()?))
    }

    /// Why this member reads nothing any more: its offsets are of a topic that is gone.
    pub(super) fn made_again(&self) -> Option<BrokerError> {
        let topic = self.made_again_now.get()?;
        Some(BrokerError::Engine(format!(
            "Kafka: the topic {topic} was deleted while it was being read; the consumer starts again and finds where to continue"
        )))
    }

    /// Notes a topic that was deleted since the member came: it reads nothing any more, also where the topic has been made again.
    pub(super) fn note_made_again(&self, topic: &str) {
        self.made_again.note(topic);
        self.made_again_now.get_or_init(|| topic.to_owned());
    }

    /// Notes a topic that ends before the place of its group.
    pub(super) fn doubt(&self, topic: &str) {
        self.made_again.note(topic);
    }

    /// Notes whose these committed offsets are.
    pub(super) fn note_committers(&self, committed: &TopicPartitionList) {
        if let Some(theirs) = standing::other_system(committed, self.ours.as_ref()) {
            *self.theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(theirs);
        }
    }

    /// What is heard from here on counts.
    pub(super) fn listen_for_joins(&self) {
        *self.joins.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the member is known to be in its group, or out of it, and in no way between.
    pub(super) fn is_settled(&self) -> bool {
        *self.joins.lock().unwrap_or_else(PoisonError::into_inner) == Some(false)
    }

    /// The partitions that came since this was asked last and go on at their stored offset.
    pub(super) fn take_resumed(&self) -> HashMap<Place, i64> {
        std::mem::take(&mut *self.resumed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says where each partition begins that has no committed offset, or one of a topic that is gone.
    fn start(&self, consumer: &BaseConsumer<Self>, assigned: &TopicPartitionList) -> KafkaResult<()> {
        if assigned.count() == 0 {
            return Ok(());
        }
        let committed = consumer.committed_offsets(assigned.clone(), ANSWER)?;
        self.note_committers(&committed);
        let has_offset = |(topic, partition): &Place| {
            let found = committed.find_partition(topic, *partition);
            !found.is_some_and(|found| found.error().is_ok() && found.offset() == Offset::Invalid)
        };
        let known = places(assigned).into_iter().filter_map(|place| self.stored.get_key_value(&place));
        let mut begun_again = self.begun_again.lock().unwrap_or_else(PoisonError::into_inner);
        let is_doubted = |place: &Place| self.made_again.contains(&place.0) && !begun_again.contains(place);
        let doubtful = known.filter(|(place, _)| !has_offset(place) || is_doubted(place));
        let made_again = standing::made_again(consumer, &doubtful.collect())?;
        begun_again.extend(made_again.iter().cloned());
        for mut element in assigned.elements() {
            let place = (element.topic().to_owned(), element.partition());
            if made_again.contains(&place) {
                tracing::warn!(
                    topic = place.0,
                    partition = place.1,
                    "the topic was made again since the group read it; it is read from its beginning"
                );
                element.set_offset(Offset::Beginning)?;
                continue;
            }
            if has_offset(&place) {
                continue;
            }
            match self.stored(&place) {
                Some(next) => {
                    element.set_offset(Offset::Offset(next))?;
                    self.resume(consumer, place, next)?;
                }
                None => element.set_offset(Offset::Beginning)?,
            }
        }
        Ok(())
    }

    /// Has a stored offset committed, unless the partition ends before it: reading fails there, and an offset that was committed would be
    /// gone on at when the partition has grown beyond it.
    fn resume(&self, consumer: &BaseConsumer<Self>, place: Place, next: i64) -> KafkaResult<()> {
        let (_, end) = consumer.fetch_watermarks(&place.0, place.1, ANSWER)?;
        if next > end {
            return Ok(());
        }
        tracing::warn!(
            topic = place.0,
            partition = place.1,
            next,
            "the broker has forgotten the group's offset; it goes on at the stored one"
        );
        self.resumed.lock().unwrap_or_else(PoisonError::into_inner).insert(place, next);
        Ok(())
    }

    /// The partitions that went since this was asked last.
    pub(super) fn take_revoked(&self) -> HashSet<Place> {
        std::mem::take(&mut *self.revoked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if matches!(level, RDKafkaLogLevel::Debug) {
            if let Some(topic) = made_again::topic(text) {
                self.note_made_again(topic);
            }
            return; // of this kind, nothing else is asked for
        }
        // Progress that was sent without waiting: it is sent again, and what stands in its way is told then.
        let level = if facility == "COMMITFAIL" { RDKafkaLogLevel::Debug } else { level };
        self.reasons.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reasons.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(joins) = joins(statistics) {
            *self.joins.lock().unwrap_or_else(PoisonError::into_inner) = Some(joins);
        }
    }
}

/// Whether librdkafka's statistics show a group that is being joined: its coordinator is known, and it is not in a steady state.
/// They are far longer than this part, and come often: they are searched, not decoded.
fn joins(statistics: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(statistics).ok()?;
    let (_, group) = text.split_once("\"cgrp\"")?;
    let value = |name: &str| group.split_once(name)?.1.split('"').nth(1);
    Some(value("\"state\"")? == "up" && value("\"join_state\"")? != "steady")
}

impl ConsumerContext for Group {
    // Runs on the member's thread, within its poll, before the partitions are taken or given up.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                if let Err(error) = self.start(consumer, partitions) {
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

pub(super) fn places(list: &TopicPartitionList) -> Vec<Place> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_tell_whether_a_group_is_being_joined() {
        let told = |state: &str, join: &str| {
            let text = format!(
                r#"{{ "brokers":{{ "b":{{ "state":"UP" }} }}, "cgrp": {{ "state": "{state}", "stateage": 1, "join_state": "{join}" }} }}"#
            );
            joins(text.as_bytes())
        };
        assert_eq!(told("up", "wait-sync"), Some(true));
        assert_eq!(told("up", "steady"), Some(false));
        assert_eq!(told("query-coord", "init"), Some(false));
        assert_eq!(joins(b"{}"), None);
    }
}
