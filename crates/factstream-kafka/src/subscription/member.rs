//! The thread's side of a member: polls, commits, and what becomes of both when partitions move.
//!
//! Invariants: records of a partition that went are not given out, also not those that were read ahead, and progress in it is
//! not committed: both are its new owner's. Progress is sent at once and waited for later: what did not arrive is sent again, and
//! a reason that it cannot is told. An error that comes with records is told by the next poll, never dropped. A group whose
//! records are gone, or whose offsets another system commits, halts and keeps saying so.

use super::gone::{self, Halt};
use super::group::{Group, places};
use super::request::{Reply, Request};
use super::unread::{Polled, Unread};
use crate::config::{ANSWER, is_passing};
use crate::place::{Place, partition_of, place};
use crate::standing::to_commit;
use factstream_core::broker::{BrokerError, POLL_BYTES_MAX, Partition};
use factstream_core::message::{Headers, Record};
use jiff::Timestamp;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A poll is cut into pieces of this, so that a member that is dropped leaves soon.
const SLICE: Duration = Duration::from_millis(100);
/// Progress is sent without waiting for the answer, and so long after it once more with: a group that is busy does not wait
/// for each batch, and one that is idle does not stay behind because of a request that was lost.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// How often a member looks whether another system has come into its group, and how long one question of that may take.
const LOOK_AT_GROUP: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(1);

/// How long a member that stops may take to finish joining its group. Others that are busy hold it up.
const JOIN: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const JOIN_LOOK: Duration = Duration::from_millis(20);

pub(super) struct Member<'c> {
    consumer: &'c BaseConsumer<Group>,
    /// The answer to a poll whose caller went away.
    unread: Unread,
    /// What the next answer begins with.
    next: VecDeque<Record>,
    /// What comes after that, to be taken over while an answer is worked on.
    ahead: Vec<BorrowedMessage<'c>>,
    /// What the next poll has to report.
    failed: Option<BrokerError>,
    /// Why nothing is read any more.
    halted: Option<Halt>,
    /// Progress that was sent and is not known to have arrived.
    unconfirmed: HashMap<Place, i64>,
    /// When it is to be sent again.
    confirm_at: Instant,
    /// When it is looked next whose group this is.
    look_at: Instant,
}

impl<'c> Member<'c> {
    pub(super) fn new(consumer: &'c BaseConsumer<Group>, unread: Unread) -> Self {
        let (next, ahead, unconfirmed) = (VecDeque::new(), Vec::new(), HashMap::new());
        let confirm_at = Instant::now();
        let look_at = confirm_at + LOOK_AT_GROUP;
        Self { consumer, unread, next, ahead, failed: None, halted: None, unconfirmed, confirm_at, look_at }
    }

    /// Serves until the subscription is dropped, then leaves the group.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            match request {
                Request::Poll { records_max, wait, reply } => {
                    let polled = self.poll(records_max, wait, &reply);
                    if let Err(polled) = reply.send(polled) {
                        self.unread.keep(polled);
                    }
                    self.next.extend(self.ahead.drain(..).map(|message| record(&message)));
                }
                Request::Commit { next, reply } => {
                    let _ = reply.send(self.commit(next));
                }
            }
        }
        if self.consumer.context().made_again().is_some() {
            self.unconfirmed.clear(); // they are of the topic that is gone
        }
        if let Err(error) = self.confirm(|| true) {
            tracing::warn!(%error, "the last progress may not have arrived: its records come again");
        }
        self.finish_joining();
        self.consumer.unsubscribe();
    }

    /// librdkafka does not leave a group that it is about to join: the brokers would count a member in that nobody serves, and
    /// give it partitions, until its session runs out.
    fn finish_joining(&self) {
        let deadline = Instant::now() + JOIN;
        self.consumer.context().listen_for_joins();
        while !self.consumer.context().is_settled() && Instant::now() < deadline {
            drop(self.consumer.poll(JOIN_LOOK)); // not committed: it comes again
        }
    }

    fn poll(&mut self, records_max: usize, wait: Duration, reply: &Reply<Vec<Record>>) -> Polled {
        if let Some(halted) = &self.halted {
            return Err(halted.error());
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.look_whose_group_it_is();
        self.refuse_to_go_on()?;
        let until = Instant::now().checked_add(wait);
        self.gather_kept()?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < records_max && bytes < POLL_BYTES_MAX {
            if records.is_empty() && !self.unconfirmed.is_empty() && self.confirm_at <= Instant::now() {
                self.confirm(|| reply.is_closed())?;
            }
            if let Some(record) = self.next.pop_front() {
                bytes += record.bytes();
                records.push(record);
                continue;
            }
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            let patience = if records.is_empty() { left.min(SLICE) } else { Duration::ZERO };
            let polled = self.consumer.poll(patience).map(|polled| polled.map(|message| record(&message)));
            self.follow_the_rebalance(&mut records);
            self.refuse_to_go_on()?;
            match polled {
                Some(Ok(record)) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                Some(Err(error)) => {
                    if let Some(told) = self.judge(&error) {
                        if records.is_empty() {
                            return Err(told);
                        }
                        self.failed = Some(told);
                        return Ok(records);
                    }
                }
                None if !records.is_empty() || left.is_zero() || reply.is_closed() => return Ok(records),
                None => {}
            }
        }
        self.read_ahead(records_max, &mut records);
        Ok(records)
    }

    /// The group is another system's, or its offsets are of a topic that is gone.
    fn refuse_to_go_on(&self) -> Result<(), BrokerError> {
        let group = self.consumer.context();
        group.refusal().or_else(|| group.made_again()).map_or(Ok(()), Err)
    }

    /// Two systems that joined a new group at once have seen no offset of each other's yet.
    fn look_whose_group_it_is(&mut self) {
        if self.consumer.context().committer().is_none() || Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK_AT_GROUP;
        match self.all_committed() {
            Ok(committed) => self.consumer.context().note_committers(&committed),
            Err(error) => tracing::debug!(%error, "the group's offsets could not be looked at"),
        }
    }

    /// What the group has committed in all partitions of its topics, whoever is assigned them.
    fn all_committed(&self) -> KafkaResult<TopicPartitionList> {
        let mut partitions = TopicPartitionList::new();
        for topic in self.consumer.subscription()?.elements() {
            for partition in self.partitions_of(topic.topic())? {
                partitions.add_partition(topic.topic(), partition);
            }
        }
        self.consumer.committed_offsets(partitions, LOOK)
    }

    /// The partitions that a topic has, as the cluster tells now.
    fn partitions_of(&self, topic: &str) -> KafkaResult<Vec<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), LOOK)?;
        let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        Ok(partitions.map(MetadataPartition::id).collect())
    }

    /// Reads what is at hand of the next records. They are taken over later: the answer need not wait for that.
    fn read_ahead(&mut self, records_max: usize, records: &mut Vec<Record>) {
        let mut bytes: usize = self.next.iter().map(Record::bytes).sum();
        while self.failed.is_none()
            && self.next.len() + self.ahead.len() < records_max
            && bytes < POLL_BYTES_MAX
        {
            let polled = self.consumer.poll(Duration::ZERO);
            self.follow_the_rebalance(records);
            match polled {
                Some(Ok(message)) => {
                    bytes += message.payload_len() + message.key_len();
                    self.ahead.push(message);
                }
                Some(Err(error)) => self.failed = self.judge(&error),
                None => return,
            }
        }
    }

    /// What to report of an error; `None` when librdkafka recovers by itself.
    fn judge(&mut self, error: &KafkaError) -> Option<BrokerError> {
        match error.rdkafka_error_code() {
            // The partition stands still from here on, in silence: so all do, and say so.
            Some(RDKafkaErrorCode::AutoOffsetReset) => {
                Some(self.halted.insert(gone::explain(self.consumer, error)).error())
            }
            Some(RDKafkaErrorCode::PollExceeded) => {
                tracing::warn!(
                    "a batch took longer than max.poll.interval.ms: the partitions went to others, and the member joins again"
                );
                None
            }
            Some(RDKafkaErrorCode::PartitionEOF) => None,
            _ if is_passing(error) => {
                tracing::debug!(%error, "polling goes on");
                None
            }
            _ => Some(self.consumer.context().reasons.explain(error)),
        }
    }

    /// Gives up what is of partitions that went. Where a partition that came goes on at the stored offset, commits that, so
    /// that the broker counts the group's lag from there.
    fn follow_the_rebalance(&mut self, records: &mut Vec<Record>) {
        let resumed = self.consumer.context().take_resumed();
        if !resumed.is_empty() {
            self.confirm_later();
            self.unconfirmed.extend(resumed);
        }
        let revoked = self.consumer.context().take_revoked();
        if !revoked.is_empty() {
            records.retain(|record| !revoked.contains(&place(&record.partition)));
            self.next.retain(|record| !revoked.contains(&place(&record.partition)));
            self.ahead
                .retain(|message| !revoked.contains(&(message.topic().to_owned(), message.partition())));
            self.unconfirmed.retain(|place, _| !revoked.contains(place));
        }
    }

    /// Puts what nobody has read before what comes next, and drops what is of partitions that went to others meanwhile: their
    /// new owner is given those records.
    fn gather_kept(&mut self) -> Result<(), BrokerError> {
        if let Some(unread) = self.unread.take() {
            let mut kept = VecDeque::from(unread?);
            kept.append(&mut self.next);
            self.next = kept;
        }
        if !self.next.is_empty() {
            let assigned = self.assigned();
            self.next.retain(|record| assigned.contains(&place(&record.partition)));
        }
        Ok(())
    }

    /// The partitions that are ours for certain.
    fn assigned(&self) -> HashSet<Place> {
        match self.consumer.assignment() {
            Ok(assigned) if !self.consumer.assignment_lost() => places(&assigned).into_iter().collect(),
            _ => HashSet::new(),
        }
    }

    /// Sends progress for the partitions that are still ours; whether it arrives is asked later.
    fn commit(&mut self, next: Vec<(Partition, i64)>) -> Result<(), BrokerError> {
        self.refuse_to_go_on()?;
        let assigned = self.assigned();
        let next: HashMap<Place, i64> = next
            .into_iter()
            .map(|(partition, offset)| (place(&partition), offset))
            .filter(|(place, _)| assigned.contains(place))
            .collect();
        if next.is_empty() {
            return Ok(());
        }
        self.confirm_later();
        let sent = self.send(&next, CommitMode::Async);
        self.unconfirmed.extend(next);
        sent.map_err(|error| self.consumer.context().reasons.explain(&error))
    }

    fn confirm_later(&mut self) {
        if self.unconfirmed.is_empty() {
            self.confirm_at = Instant::now() + CONFIRM_AFTER;
        }
    }

    /// Sends progress again for the partitions that are still ours, and waits until it has arrived. Those that went are no
    /// error: their records come again where they are now, and the inbox knows what was handled.
    fn confirm(&mut self, is_given_up: impl Fn() -> bool) -> Result<(), BrokerError> {
        use RDKafkaErrorCode::{
            AssignmentLost, FencedMemberEpoch, IllegalGeneration, RebalanceInProgress, StaleMemberEpoch,
            UnknownMemberId, UnknownTopicOrPartition,
        };
        if self.refuse_to_go_on().is_err() {
            self.unconfirmed.clear();
        }
        let assigned = self.assigned();
        self.unconfirmed.retain(|place, _| assigned.contains(place));
        self.confirm_at = Instant::now() + CONFIRM_AFTER;
        let deadline = Instant::now() + ANSWER;
        while !self.unconfirmed.is_empty() {
            let Err(error) = self.send(&self.unconfirmed, CommitMode::Sync) else {
                self.unconfirmed.clear();
                return Ok(());
            };
            match error.rdkafka_error_code() {
                // Refused for the generation of the group, which says nothing of the partitions: those that a member keeps
                // through a rebalance are refused too. It is tried again later; one that went drops out before.
                Some(
                    RebalanceInProgress | IllegalGeneration | UnknownMemberId | AssignmentLost
                    | FencedMemberEpoch | StaleMemberEpoch,
                ) => {
                    tracing::debug!(%error, "progress is committed after the rebalance, where it is still ours");
                    return Ok(());
                }
                Some(UnknownTopicOrPartition) if self.note_deleted() => {
                    self.unconfirmed.clear();
                    return self.refuse_to_go_on();
                }
                // A coordinator that has just started does not know all partitions yet.
                code if (is_passing(&error) || code == Some(UnknownTopicOrPartition))
                    && Instant::now() < deadline
                    && !is_given_up() =>
                {
                    std::thread::sleep(SLICE);
                }
                _ => return Err(self.consumer.context().reasons.explain(&error)),
            }
        }
        Ok(())
    }

    /// Whether a topic is without a partition that was read. It has been deleted: partitions never become fewer.
    fn note_deleted(&self) -> bool {
        let topics: HashSet<&str> = self.unconfirmed.keys().map(|(topic, _)| topic.as_str()).collect();
        let lacks = |topic: &&str| {
            let Ok(partitions) = self.partitions_of(topic) else { return false };
            self.unconfirmed.keys().any(|(of, partition)| of == topic && !partitions.contains(partition))
        };
        let deleted = topics.into_iter().find(lacks);
        if let Some(topic) = deleted {
            self.consumer.context().note_made_again(topic);
        }
        deleted.is_some()
    }

    fn send(&self, progress: &HashMap<Place, i64>, mode: CommitMode) -> KafkaResult<()> {
        let places =
            progress.iter().map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset));
        self.consumer.commit(&to_commit(places, self.consumer.context().committer())?, mode)
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|theirs| {
        let mut headers = Headers::with_capacity(theirs.count());
        headers.extend(theirs.iter().map(|header| (header.key, header.value.unwrap_or_default())));
        headers
    });
    Record {
        partition: partition_of(message.topic(), message.partition()),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        timestamp: message
            .timestamp()
            .to_millis()
            .and_then(|millis| Timestamp::from_millisecond(millis).ok()),
    }
}
