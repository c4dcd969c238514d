//! One event on its way to a handler, from the log, a topic or the dead letters: raw, and decoded if that is possible.
//!
//! Invariant: the raw bytes stay with it until it is handled, so whatever goes wrong, nothing is lost (G12).

use crate::handler::Failure;
use crate::handler::options::Tombstones;
use crate::handler::reaction::{Decoded, Outcome, Reaction};
use crate::kernel::origin::Origin;
use crate::processor::unit;
use crate::timer::{DueTimer, TIMERS};
use factstream_core::broker::Partition;
use factstream_core::causes::Causes;
use factstream_core::decode::{ContentError, DecodeError};
use factstream_core::envelope::{Envelope, Position, RecordedEvent};
use factstream_core::message::{Record, Unreadable};
use jiff::Timestamp;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

pub(crate) use factstream_core::message::LOG;

/// Names the identity of an event's delivery to one of several keys (RFC 9562, version 5).
const ONE_OF_SEVERAL: Uuid = Uuid::from_u128(0x0c2d_8f1e_55ab_4c0b_8a43_7be1_91f4_2026);

/// By what a record is known.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// By what it holds.
    Itself,
    /// As earlier builds knew it: one of them may have handled it.
    Formerly,
    /// As it is kept among the letters.
    As(&'a str),
}

pub(crate) struct Delivery {
    /// The event's id, as it is shown.
    pub(crate) event_id: String,
    scoped_id: Option<String>,
    /// In whose order it is handled, as far as itself says.
    named_key: String,
    /// In whose order it is handled, where it came by an alias, once that is known.
    pub(super) alias_of: OnceLock<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) position: Option<Position>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) content: Content,
    /// What the outside world answered, once it was asked.
    pub(crate) outcome: OnceLock<Outcome>,
    /// What led to it.
    pub(super) causes: Causes,
    /// Those of its causes that this handler has to wait for, once they are known.
    pub(super) awaited: OnceLock<Vec<String>>,
    raw: Raw,
}

enum Raw {
    Timer(Box<DueTimer>),
    Event(Box<RecordedEvent>),
    Record(Box<Record>),
}

pub(crate) enum Content {
    /// Decoded, with the origin of what it will cause.
    Ready { event: Decoded, origin: Origin },
    /// No handler names its type.
    NotMine,
    /// A tombstone that the consumer's policy skips.
    Skipped,
    /// Can never be handled as it is.
    Unreadable(Reason),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error(transparent)]
    Message(#[from] Unreadable),
    #[error(transparent)]
    Content(#[from] DecodeError),
    #[error("the timer cannot be handled: {0}")]
    Timer(String),
    #[error("the event's metadata is not the JSON that factstream writes: {0}")]
    Metadata(ContentError),
    #[error(
        "no handler of this consumer names the event type {0:?}, and its policy is to dead-letter such events"
    )]
    NotMine(String),
}

impl Delivery {
    /// What it is marked by as handled.
    pub(crate) fn identity(&self) -> &str {
        self.scoped_id.as_deref().unwrap_or(&self.event_id)
    }

    /// In whose order it is handled.
    pub(crate) fn key(&self) -> &str {
        self.alias_of.get().unwrap_or(&self.named_key)
    }

    /// The key of the alias that it came by, where it is not known yet whose that is.
    pub(super) fn unknown_alias(&self) -> Option<&str> {
        let is_unknown = self.alias_of.get().is_none() && unit::alias_of(&self.named_key).is_some();
        is_unknown.then_some(&self.named_key)
    }

    /// The topic that it came from; [`LOG`] for the log.
    pub(crate) fn topic(&self) -> &str {
        match &self.raw {
            Raw::Event(_) => LOG,
            Raw::Timer(_) => TIMERS,
            Raw::Record(record) => &record.partition.topic,
        }
    }

    /// Whether it came from a topic of a broker.
    pub(crate) fn is_of_topic(&self) -> bool {
        matches!(self.raw, Raw::Record(_))
    }

    /// What it may have to wait behind, in this order: its key within its topic, if it is of one; the alias that it came by; and its key.
    pub(crate) fn units(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let within = self.is_of_topic().then(|| unit::within(self.topic(), self.key()).into());
        let alias = self.alias_of.get().map(|_| self.named_key.as_str().into());
        within.into_iter().chain(alias).chain([self.key().into()])
    }

    /// The timer that it is.
    pub(crate) fn timer(&self) -> Option<&DueTimer> {
        match &self.raw {
            Raw::Timer(timer) => Some(timer),
            Raw::Event(_) | Raw::Record(_) => None,
        }
    }

    /// A timer that is due.
    pub(crate) fn of_timer(timer: DueTimer, reaction: &dyn Reaction, service: &Arc<str>) -> Self {
        let origin = Origin::later(Arc::clone(service), timer.context());
        let content = match reaction.decode_timer(&timer) {
            Ok(event) => Content::Ready { event, origin },
            Err(reason) => Content::Unreadable(Reason::Timer(reason)),
        };
        let shown = if timer.payload_type.is_empty() { &timer.name } else { &timer.payload_type };
        Self {
            event_id: timer.token.clone(),
            scoped_id: None,
            named_key: timer.key.clone(),
            alias_of: OnceLock::new(),
            event_type: Some(shown.clone()),
            position: None,
            timestamp: Some(timer.due_at),
            content,
            outcome: OnceLock::new(),
            causes: Causes::default(),
            awaited: OnceLock::new(),
            raw: Raw::Timer(Box::new(timer)),
        }
    }

    /// An event of the log.
    pub(crate) fn of_event(event: RecordedEvent, reaction: &dyn Reaction, service: &Arc<str>) -> Self {
        let content = match event.envelope() {
            Ok(envelope) => decode(envelope, &event.data, reaction, service),
            Err(error) => Content::Unreadable(Reason::Metadata(error.into())),
        };
        Self {
            event_id: event.event_id.to_string(),
            scoped_id: None,
            named_key: order_key(&content, reaction).unwrap_or_else(|| event.aggregate_id.clone()),
            alias_of: OnceLock::new(),
            event_type: Some(event.event_type.clone()),
            position: Some(event.position),
            timestamp: Some(event.timestamp),
            content,
            outcome: OnceLock::new(),
            causes: Causes::default(),
            awaited: OnceLock::new(),
            raw: Raw::Event(Box::new(event)),
        }
    }

    /// Adds an event of the log: a delivery for each key that it is handled for.
    pub(crate) fn add_each_of_event(
        event: RecordedEvent,
        reaction: &dyn Reaction,
        service: &Arc<str>,
        deliveries: &mut Vec<Self>,
    ) {
        let first = Self::of_event(event, reaction, service);
        let further = match &first.content {
            Content::Ready { event, .. } => reaction.further_keys(event),
            _ => Vec::new(),
        };
        let (false, Raw::Event(event)) = (further.is_empty(), &first.raw) else {
            return deliveries.push(first);
        };
        let again: Vec<Self> = further
            .into_iter()
            .map(|key| Self { named_key: key, ..Self::of_event((**event).clone(), reaction, service) })
            .collect();
        let scoped = |delivery: Self| {
            // Each is marked by itself.
            let name = [delivery.event_id.as_str(), delivery.named_key.as_str()].join("\0");
            let scoped_id = Uuid::new_v5(&ONE_OF_SEVERAL, name.as_bytes()).to_string();
            Self { scoped_id: Some(scoped_id), ..delivery }
        };
        deliveries.extend(std::iter::once(first).chain(again).map(scoped));
    }

    /// An event of the log as it lies there, to be kept and not handled.
    pub(crate) fn of_the_log(event: RecordedEvent) -> Self {
        Self {
            event_id: event.event_id.to_string(),
            scoped_id: None,
            named_key: event.aggregate_id.clone(),
            alias_of: OnceLock::new(),
            event_type: Some(event.event_type.clone()),
            position: Some(event.position),
            timestamp: Some(event.timestamp),
            content: Content::NotMine,
            outcome: OnceLock::new(),
            causes: Causes::default(),
            awaited: OnceLock::new(),
            raw: Raw::Event(Box::new(event)),
        }
    }

    /// A record of a topic, or a letter that was one. The consumer's own decoder comes first.
    pub(crate) fn of_record(
        record: Record,
        known: Known<'_>,
        reaction: &dyn Reaction,
        service: &Arc<str>,
    ) -> Self {
        if let Some(timer) = DueTimer::of_record(&record) {
            return Self::of_timer(timer, reaction, service);
        }
        let decoded = reaction.decode_record(&record);
        let key = match &decoded {
            Ok(Some(decoded)) => record.order_key_of(decoded),
            _ => record.order_key(),
        };
        let event_type = match &decoded {
            Ok(Some(decoded)) => Some(decoded.event_type.clone()),
            _ => record.header("event_type").map(str::to_owned),
        };
        let former = matches!(known, Known::Formerly).then(|| record.former_identity());
        let kept = match known {
            Known::As(identity) => Some(identity),
            _ => former.as_deref(),
        };
        let read = decoded.and_then(|decoded| {
            if let Some(decoded) = decoded {
                return Ok((record.envelope_of(&decoded, kept)?, Cow::Owned(decoded.json().into_owned())));
            }
            let mut envelope = record.envelope_known_as(kept)?;
            let json = std::mem::take(&mut envelope.event);
            Ok((envelope.with(()), json))
        });
        let mut causes = Causes::default();
        let (event_id, scoped_id, position, timestamp, content) = match read {
            Ok((envelope, json)) => {
                let (event_id, scoped_id) = (envelope.event_id.clone(), envelope.scoped_id.clone());
                let (position, timestamp) = (envelope.position, Some(envelope.timestamp));
                causes.clone_from(&envelope.causes);
                (event_id, scoped_id, position, timestamp, decode(envelope, &json, reaction, service))
            }
            Err(reason) => {
                let event_id = match known {
                    Known::Itself => record.place_identity(),
                    Known::Formerly => record.place(),
                    Known::As(identity) => identity.to_owned(),
                };
                (event_id, None, None, record.timestamp, Content::Unreadable(reason.into()))
            }
        };
        let key = order_key(&content, reaction).unwrap_or(key);
        Self {
            event_id,
            scoped_id,
            named_key: key,
            alias_of: OnceLock::new(),
            event_type,
            position,
            timestamp,
            content,
            outcome: OnceLock::new(),
            causes,
            awaited: OnceLock::new(),
            raw: Raw::Record(Box::new(record)),
        }
    }

    /// Skips a tombstone where the policy says so. One that the consumer's decoder made an event of is none.
    pub(crate) fn skip_tombstone(&mut self, policy: Tombstones, reaction: &dyn Reaction) {
        let Raw::Record(record) = &self.raw else { return };
        if record.value.is_some() || matches!(self.content, Content::Ready { .. }) {
            return;
        }
        let names_mine = || self.event_type.as_deref().is_some_and(|name| reaction.handles(name));
        let skips = match policy {
            Tombstones::Skip => true,
            Tombstones::SkipBare => !names_mine(),
            Tombstones::DeadLetter => false,
        };
        if skips {
            self.content = Content::Skipped;
        }
    }

    /// The raw record, as it is kept with a dead letter.
    pub(crate) fn record(&self) -> Record {
        match &self.raw {
            Raw::Record(record) => (**record).clone(),
            Raw::Timer(timer) => timer.record(),
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

    /// The record that it was made of.
    pub(crate) fn into_record(self) -> Option<Record> {
        match self.raw {
            Raw::Record(record) => Some(*record),
            Raw::Event(_) | Raw::Timer(_) => None,
        }
    }

    /// The conversation that it belongs to, where that can be read.
    pub(crate) fn correlation_id(&self) -> Option<String> {
        match &self.raw {
            Raw::Record(record) => record.header("correlation_id").map(str::to_owned),
            Raw::Event(event) => event.envelope().ok()?.correlation_id,
            Raw::Timer(timer) => timer.context().correlation_id,
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

/// Why an unreadable event cannot be handled.
pub(crate) fn unreadable(delivery: &Delivery) -> Failure {
    match &delivery.content {
        Content::Unreadable(reason) => Failure::permanent(reason.to_string()),
        _ => Failure::permanent("the event cannot be read"),
    }
}

/// The key in whose order the reaction handles it, where that is not the aggregate's id.
fn order_key(content: &Content, reaction: &dyn Reaction) -> Option<String> {
    if let Some(order) = reaction.one_order() {
        return Some(order.to_owned());
    }
    match content {
        Content::Ready { event, .. } => reaction.order_key(event),
        Content::NotMine | Content::Skipped | Content::Unreadable(_) => None,
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
