//! One event on its way to a handler, from the log, a topic or the dead letters: raw, and decoded if that is possible.
//!
//! Invariant: the raw bytes stay with it until it is handled, so whatever goes wrong, nothing is lost (G12).

use crate::origin::Origin;
use crate::processor::reaction::{Decoded, Outcome, Reaction};
use factstream_core::broker::Partition;
use factstream_core::decode::DecodeError;
use factstream_core::envelope::{Envelope, Position, RecordedEvent};
use factstream_core::message::{Record, Unreadable};
use jiff::Timestamp;
use std::sync::{Arc, OnceLock};

/// Stands for the topic of events that come straight from the log.
pub(crate) const LOG: &str = "log";

pub(crate) struct Delivery {
    pub(crate) event_id: String,
    /// In whose order it is handled.
    pub(crate) key: String,
    pub(crate) event_type: Option<String>,
    pub(crate) position: Option<Position>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) content: Content,
    /// What the outside world answered, once it was asked.
    pub(crate) outcome: OnceLock<Outcome>,
    raw: Raw,
}

enum Raw {
    Event(Box<RecordedEvent>),
    Record(Box<Record>),
}

pub(crate) enum Content {
    /// Decoded, with the origin of what it will cause.
    Ready { event: Decoded, origin: Origin },
    /// No handler names its type.
    NotMine,
    /// Can never be handled as it is.
    Unreadable(Reason),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Message(#[from] Unreadable),
    #[error(transparent)]
    Content(#[from] DecodeError),
    #[error("the event's metadata is not the JSON that factstream writes: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error(
        "no handler of this consumer names the event type {0:?}, and its policy is to dead-letter such events"
    )]
    NotMine(String),
}

impl Delivery {
    /// The topic that it came from; [`LOG`] for the log.
    pub(crate) fn topic(&self) -> &str {
        match &self.raw {
            Raw::Event(_) => LOG,
            Raw::Record(record) => &record.partition.topic,
        }
    }

    /// An event of the log.
    pub(crate) fn of_event(event: RecordedEvent, reaction: &dyn Reaction, service: &Arc<str>) -> Self {
        let content = match event.envelope() {
            Ok(envelope) => decode(envelope, &event.data, reaction, service),
            Err(error) => Content::Unreadable(error.into()),
        };
        Self {
            event_id: event.event_id.to_string(),
            key: event.aggregate_id.clone(),
            event_type: Some(event.event_type.clone()),
            position: Some(event.position),
            timestamp: Some(event.timestamp),
            content,
            outcome: OnceLock::new(),
            raw: Raw::Event(Box::new(event)),
        }
    }

    /// A record of a topic, or a letter that was one.
    pub(crate) fn of_record(record: Record, reaction: &dyn Reaction, service: &Arc<str>) -> Self {
        let key = record.order_key();
        let event_type = record.header("event_type").map(str::to_owned);
        let (event_id, position, timestamp, content) = match record.envelope() {
            Ok(envelope) => {
                let event_id = envelope.event_id.clone();
                let (position, timestamp) = (envelope.position, Some(envelope.timestamp));
                let json = envelope.event;
                (event_id, position, timestamp, decode(envelope.with(()), json, reaction, service))
            }
            Err(reason) => (record.origin(), None, record.timestamp, Content::Unreadable(reason.into())),
        };
        let outcome = OnceLock::new();
        Self {
            event_id,
            key,
            event_type,
            position,
            timestamp,
            content,
            outcome,
            raw: Raw::Record(Box::new(record)),
        }
    }

    /// The raw record, as it is kept with a dead letter.
    pub(crate) fn record(&self) -> Record {
        match &self.raw {
            Raw::Record(record) => (**record).clone(),
            Raw::Event(event) => Record {
                partition: Partition { topic: LOG.to_owned(), partition: 0 },
                offset: i64::try_from(event.position).unwrap_or(i64::MAX),
                key: Some(event.aggregate_id.clone().into_bytes()),
                value: Some(event.data.clone().into_bytes()),
                headers: factstream_core::message::headers(event),
                timestamp: Some(event.timestamp),
            },
        }
    }

    /// Makes a dead letter of it if no handler names its type.
    pub(crate) fn refuse_if_not_mine(&mut self) {
        if matches!(self.content, Content::NotMine) {
            let event_type = self.event_type.clone().unwrap_or_default();
            self.content = Content::Unreadable(Reason::NotMine(event_type));
        }
    }
}

fn decode(envelope: Envelope<()>, json: &str, reaction: &dyn Reaction, service: &Arc<str>) -> Content {
    if !reaction.handles(&envelope.event_type) {
        return Content::NotMine;
    }
    let origin = Origin::event(Arc::clone(service), &envelope);
    match reaction.decode(envelope, json) {
        Ok(event) => Content::Ready { event, origin },
        Err(error) => Content::Unreadable(error.into()),
    }
}
