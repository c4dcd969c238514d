//! The mirror: dead letters of consumers, published to `<topic>-dlt` with the header names of Spring Kafka, so that tools
//! which know those see ours. On by choice ([`Builder::mirror_dead_letters`](crate::Builder::mirror_dead_letters)).
//!
//! Invariants: the store has the letter; the mirror is a copy for others, and nobody here reads it. Which letters are due is
//! written in the transaction in which they die, so that none is forgotten; each is published at least once. One that
//! cannot be published holds up no other.
//!
//! Names and forms of the headers: Spring Kafka's `KafkaHeaders` and `DeadLetterPublishingRecoverer`.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::processor::letters::Letter;
use crate::statements as sql;
use factstream_core::broker::Topic;
use factstream_core::message::{Message, Record};
use factstream_core::params;
use factstream_core::sql::{Row, now};
use serde::Deserialize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The lease of the one process that mirrors.
pub(crate) const NAME: &str = "dead-letter mirror";
/// How often to look for new ones.
const INTERVAL: Duration = Duration::from_secs(1);
/// Letters loaded at once, each with its bytes: there may be a megabyte of them.
const LETTERS_MAX: usize = 16;

/// The topic that a topic's dead letters are mirrored to: as many partitions, the same settings.
pub(crate) fn topic_of(topic: Topic) -> Topic {
    Topic { name: name_of(&topic.name), ..topic }
}

fn name_of(topic: &str) -> String {
    format!("{topic}-dlt")
}

/// Publishes what is due until `stop`.
pub(crate) async fn run(kernel: &Kernel, stop: CancellationToken) -> Result<(), Error> {
    while !stop.is_cancelled() {
        let mut after = 0;
        while let Some(last) = publish_some(kernel, after).await? {
            after = last;
        }
        let _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
    }
    Ok(())
}

/// Publishes some after this id; the id of the last one looked at.
async fn publish_some(kernel: &Kernel, after: u64) -> Result<Option<u64>, Error> {
    let due = kernel.store.query(sql::SELECT_MIRROR, params![after, LETTERS_MAX]).await?;
    let mut last = None;
    for row in due {
        let letter = Letter::of_row(&row)?;
        let (id, handler) = (letter.id, letter.handler.clone());
        last = Some(id);
        match kernel.broker.publish(vec![message(letter, &row)?]).await {
            Ok(()) => {
                let mut tx = kernel.store.begin().await?;
                tx.execute("DELETE FROM fs_dead_letter_mirror WHERE letter_id = $1", params![id]).await?;
                tx.commit(Vec::new()).await?;
            }
            Err(error) => {
                tracing::error!(letter = id, %handler, %error, "a dead letter could not be mirrored; it is tried again");
            }
        }
    }
    Ok(last)
}

#[derive(Deserialize, Default)]
struct Attempt {
    #[serde(default)]
    errors: Vec<String>,
}

fn message(letter: Letter, row: &Row) -> Result<Message, Error> {
    let last_attempt: Option<String> = row.get("last_attempt")?;
    let reason: Option<String> = row.get("reason")?;
    let attempt: Attempt = last_attempt.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let Record { partition, offset, key, value, mut headers, timestamp } = letter.record;
    let mut header = |name: &str, value: &[u8]| headers.push(&format!("kafka_dlt-{name}"), value);
    header("original-topic", partition.topic.as_bytes());
    header("original-partition", &partition.partition.to_be_bytes());
    header("original-offset", &offset.to_be_bytes());
    if let Some(timestamp) = timestamp {
        header("original-timestamp", &timestamp.as_millisecond().to_be_bytes());
        header("original-timestamp-type", b"CreateTime");
    }
    header("original-consumer-group", letter.handler.as_bytes());
    header("exception-fqcn", b"factstream.Failure");
    header("exception-message", reason.unwrap_or_default().as_bytes());
    header("exception-stacktrace", attempt.errors.join("\ncaused by: ").as_bytes());
    Ok(Message { topic: name_of(&partition.topic), key, value, headers, timestamp: now() })
}
