//! A member of a group: a consumer on a thread of its own, polled only when records are asked for.
//!
//! Invariant: librdkafka moves partitions inside `poll` only, and `poll` runs only while the processor waits for records:
//! nothing is in flight then. Records of a poll that was given up are kept for the next one, unless their partition is
//! gone.

mod group;
mod gone;
mod member;

use crate::config::{Reasons, refused};
use async_trait::async_trait;
use factstream_core::broker::{BrokerError, Partition, Subscription};
use factstream_core::message::Record;
use group::Group;
use member::Member;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

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
        let reasons = Reasons::of(config);
        let consumer: BaseConsumer<Group> =
            config.create_with_context(Group::new(reasons.clone())).map_err(|error| refused(&error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| reasons.explain(&error))?;
        let (requests, received) = mpsc::channel();
        let member = Member::new(consumer);
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

fn partition_of(topic: &str, partition: i32) -> Partition {
    Partition { topic: topic.to_owned(), partition: u32::try_from(partition).unwrap_or_default() }
}
