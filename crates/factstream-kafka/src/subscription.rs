//! A member of a group: a consumer on a thread of its own, polled only when records are asked for.
//!
//! Invariant: librdkafka moves partitions inside `poll` only, and `poll` runs only while the processor waits for records:
//! nothing is in flight then. The answer to a poll that was given up, before it was sent or after, is the next poll's,
//! unless its partition is gone.

mod group;
mod gone;
mod member;
mod presence;
mod request;
mod unread;

use crate::config::{Reasons, refused};
use crate::made_again::MadeAgain;
use async_trait::async_trait;
use factstream_core::broker::{BrokerError, Committer, Partition, Stored, Subscription};
use factstream_core::message::Record;
use group::Group;
use member::Member;
pub(crate) use presence::{Presence, Present};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use request::Request;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use unread::{Answer, Unread};

pub(crate) struct KafkaSubscription {
    requests: mpsc::Sender<Request>,
    unread: Unread,
}

impl KafkaSubscription {
    pub(crate) fn join(
        config: &ClientConfig,
        name: &str,
        topics: &[String],
        stored: &[Stored],
        ours: Option<&Committer>,
        made_again: MadeAgain,
        present: Present,
    ) -> Result<Self, BrokerError> {
        let reasons = Reasons::of(config);
        let group = Group::new(reasons.clone(), name, stored, ours, made_again);
        let consumer: BaseConsumer<Group> =
            config.create_with_context(group).map_err(|error| refused(&error))?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| reasons.explain(&error))?;
        let (requests, received) = mpsc::channel();
        let unread = Unread::default();
        let kept = unread.clone();
        std::thread::Builder::new()
            .name("factstream-kafka-member".into())
            .spawn(move || {
                Member::new(&consumer, kept).run(&received);
                drop(consumer); // returns when the group's broker knows that it has left
                drop(present);
            })
            .map_err(|error| BrokerError::Engine(format!("a thread cannot be started: {error}")))?;
        Ok(Self { requests, unread })
    }

    fn send(&self, request: Request) -> Result<(), BrokerError> {
        self.requests.send(request).map_err(|_| gone())
    }
}

fn gone() -> BrokerError {
    BrokerError::Engine("the consumer's thread has ended".into())
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn poll(&mut self, records_max: usize, wait: Duration) -> Result<Vec<Record>, BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Poll { records_max: records_max.max(1), wait, reply })?;
        Answer::new(answer, &self.unread).await.unwrap_or_else(|_| Err(gone()))
    }

    async fn give_back(&mut self, records: Vec<Record>) -> Result<(), BrokerError> {
        self.unread.keep(Ok(records));
        Ok(())
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Commit { next: next.to_vec(), reply })?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}
