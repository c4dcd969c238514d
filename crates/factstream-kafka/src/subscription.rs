//! A member of a group: a consumer on a thread of its own, polled only when records are asked for.
//!
//! Invariant: librdkafka moves partitions inside `poll` only, and `poll` runs only while the processor waits for records:
//! nothing is in flight then. Records of a poll that was given up are kept for the next one, unless their partition is
//! gone.

use crate::broker::failed;
use async_trait::async_trait;
use factstream_core::broker::{BrokerError, Partition, Subscription};
use factstream_core::message::Record;
use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A poll is cut into pieces of this, so that a member that is dropped leaves soon.
const SLICE: Duration = Duration::from_millis(100);

type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

enum Request {
    Poll { records_max: usize, wait: Duration, reply: Reply<Vec<Record>> },
    Commit { next: Vec<(Partition, i64)>, reply: Reply<()> },
}

pub(crate) struct KafkaSubscription {
    requests: mpsc::Sender<Request>,
}

impl KafkaSubscription {
    pub(crate) fn join(config: &ClientConfig, topics: &[String]) -> Result<Self, BrokerError> {
        let consumer: BaseConsumer = config.create().map_err(|error| failed(&error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| failed(&error))?;
        let (requests, received) = mpsc::channel();
        let member = Member { consumer, kept: Vec::new() };
        std::thread::Builder::new()
            .name("factstream-kafka-member".into())
            .spawn(move || member.run(&received))
            .map_err(|error| BrokerError::Engine(format!("a thread cannot be started: {error}")))?;
        Ok(Self { requests })
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, BrokerError> {
        let (reply, answer) = oneshot::channel();
        let gone = || BrokerError::Engine("the consumer's thread has ended".into());
        self.requests.send(request(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError> {
        self.ask(|reply| Request::Poll { records_max: records_max.max(1), wait, reply }).await
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let next = next.to_vec();
        self.ask(|reply| Request::Commit { next, reply }).await
    }
}

/// The thread's side.
struct Member {
    consumer: BaseConsumer,
    /// Records of a poll whose caller went away.
    kept: Vec<Record>,
}

impl Member {
    /// Serves until the subscription is dropped, then leaves the group.
    fn run(mut self, requests: &mpsc::Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            match request {
                Request::Poll { records_max, wait, reply } => {
                    let polled = self.poll(records_max, wait, &reply);
                    if let Err(Ok(records)) = reply.send(polled) {
                        self.kept = records;
                    }
                }
                Request::Commit { next, reply } => {
                    let _ = reply.send(self.commit(&next));
                }
            }
        }
        self.consumer.unsubscribe();
    }

    fn poll(
        &mut self,
        records_max: usize,
        wait: Duration,
        reply: &Reply<Vec<Record>>,
    ) -> Result<Vec<Record>, BrokerError> {
        let until = Instant::now().checked_add(wait);
        let mut records = self.take_kept()?;
        loop {
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            let patience = if records.is_empty() { left.min(SLICE) } else { Duration::ZERO };
            match self.consumer.poll(patience) {
                Some(Ok(message)) => records.push(record(&message)),
                Some(Err(error)) if is_passing(&error) => tracing::debug!(%error, "polling goes on"),
                Some(Err(error)) if records.is_empty() => return Err(failed(&error)),
                Some(Err(_)) => return Ok(records), // told again by the next poll
                None if !records.is_empty() || left.is_zero() || reply.is_closed() => return Ok(records),
                None => {}
            }
            if records.len() >= records_max {
                return Ok(records);
            }
        }
    }

    /// What was kept, without partitions that went to others meanwhile: their new owner is given those records.
    fn take_kept(&mut self) -> Result<Vec<Record>, BrokerError> {
        let kept = std::mem::take(&mut self.kept);
        if kept.is_empty() {
            return Ok(kept);
        }
        let assigned = self.consumer.assignment().map_err(|error| failed(&error))?;
        let assigned: HashSet<(String, i32)> = assigned
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let is_ours = |record: &Record| {
            let partition = i32::try_from(record.partition.partition).unwrap_or(-1);
            assigned.contains(&(record.partition.topic.clone(), partition))
        };
        Ok(kept.into_iter().filter(is_ours).collect())
    }

    fn commit(&self, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        if next.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (Partition { topic, partition }, offset) in next {
            let partition = i32::try_from(*partition).unwrap_or(i32::MAX);
            list.add_partition_offset(topic, partition, Offset::Offset(*offset))
                .map_err(|error| failed(&error))?;
        }
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| failed(&error))
    }
}

/// What librdkafka recovers from by itself.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, PartitionEOF, Resolve};
    let KafkaError::MessageConsumption(code) = error else { return false };
    matches!(code, AllBrokersDown | BrokerTransportFailure | PartitionEOF | Resolve)
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let pairs =
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
        pairs.collect()
    });
    let partition = Partition {
        topic: message.topic().to_owned(),
        partition: u32::try_from(message.partition()).unwrap_or_default(),
    };
    Record {
        partition,
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
