//! What a process takes from topics: a consumer records each message that concerns it as a private fact, and the process takes that from the log.
//!
//! Two members of a group may hold messages of one instance, and a message of one partition comes before or after one of another as it
//! happens. In the log they have one order for good: so instances, letters, leases, the history and a state that is made again
//! work with messages as they do with events.
//!
//! Invariants: the fact and the mark that the message was handled commit together; a fact is given to the one process that its type
//! names; and what `correlate` and `react` see of it is what a consumer's handler would be given, whenever they look.

use super::step::correlated;
use super::traits::Process;
use crate::error::Error;
use crate::handler::Failure;
use crate::handler::dispatch::Handlers;
use crate::handler::effect::{AnyHandler, Effect, EventDecoder};
use crate::handler::reaction::{Decoded, Outcome};
use crate::kernel::names::RESERVED;
use crate::kernel::states::States;
use crate::tx::Tx;
use async_trait::async_trait;
use factstream_core::causes::Causes;
use factstream_core::decode::{DecodeError, Decoder};
use factstream_core::envelope::{Envelope, Position, StreamId, Version, check_id};
use factstream_core::event::{EventSet, EventType};
use factstream_core::message;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

/// Stands between the parts of a fact's type. A process that reads topics has none in its name, so no two can be taken for each other.
const SEPARATOR: char = ':';

/// What is added to a process's name for that of its consumer.
const INPUTS: &str = "-inputs";

/// The consumer of a process's topics.
pub(crate) fn consumer_of(process: &str) -> String {
    format!("{process}{INPUTS}")
}

/// The process that a consumer of this name would be of.
pub(crate) fn process_of(consumer: &str) -> Option<&str> {
    consumer.strip_suffix(INPUTS)
}

/// The aggregate type of a process's facts.
fn stream_type(process: &str) -> String {
    format!("{RESERVED}{process}")
}

/// The type of a fact that holds a message of this type.
fn fact_type(process: &str, event_type: &str) -> String {
    format!("{RESERVED}{process}{SEPARATOR}{event_type}")
}

/// The type of the message that a fact of this process holds.
pub(super) fn message_type<'a>(process: &str, event_type: &'a str) -> Option<&'a str> {
    parts(event_type).filter(|(of, _)| *of == process).map(|(_, message)| message)
}

/// Whether an event of this type is a message that some process has taken from a topic.
pub(crate) fn is_fact(event_type: &str) -> bool {
    parts(event_type).is_some()
}

/// The process that a fact is for, and the type of its message.
fn parts(fact_type: &str) -> Option<(&str, &str)> {
    fact_type.strip_prefix(RESERVED)?.split_once(SEPARATOR)
}

/// A message as a fact holds it: its envelope. Its type and its schema version are the fact's.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Envelope")]
struct Surroundings<E> {
    event: E,
    event_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scoped_id: Option<String>,
    #[serde(skip)]
    event_type: String,
    #[serde(skip)]
    schema_version: u32,
    aggregate_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregate_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    timestamp: Timestamp,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(default, skip_serializing_if = "Causes::is_empty")]
    causes: Causes,
}

/// The content of a fact: the message's own fields to the letter, and what surrounds them.
#[derive(Serialize, Deserialize)]
struct Content(#[serde(with = "Surroundings")] Envelope<Box<RawValue>>);

/// An event of the log as an input, and the message that a fact holds.
///
/// # Errors
/// When it cannot be decoded.
pub(super) fn read<P: Process>(
    decoder: &Decoder,
    envelope: Envelope<()>,
    json: &str,
) -> Result<Envelope<P::Events>, DecodeError> {
    if message_type(P::NAME, &envelope.event_type).is_some()
        && let Some(message) = message_in(&envelope, json)?
    {
        let (json, message) = (message.event.clone(), message.with(()));
        let event = decoder.decode_envelope(&message, json.get())?;
        return Ok(message.with(event));
    }
    let event = decoder.decode_envelope(&envelope, json)?;
    Ok(Envelope { scoped_id: None, ..envelope.with(event) }) // that of its delivery to one instance
}

/// The message that a fact holds, with its own fields to the letter; `None` of any other event.
///
/// # Errors
/// When the fact's content is not what [`Content`] writes.
pub(crate) fn message_in(
    fact: &Envelope<()>,
    json: &str,
) -> Result<Option<Envelope<Box<RawValue>>>, DecodeError> {
    let Some((_, event_type)) = parts(&fact.event_type) else { return Ok(None) };
    let (event_type, schema_version) = (event_type.to_owned(), fact.schema_version);
    let Content(message) = serde_json::from_str(json).map_err(|source| DecodeError::Content {
        event_type: fact.event_type.clone(),
        schema_version,
        reason: source.into(),
    })?;
    Ok(Some(Envelope { event_type, schema_version, ..message }))
}

/// A message on its way into the log.
struct Incoming {
    /// The instances that it concerns, by their ids or aliases, or why these cannot be told.
    concerns: Result<Vec<String>, String>,
    event_type: String,
    schema_version: u32,
    content: String,
}

/// Decodes the messages of a process's topics.
struct Messages<P> {
    types: Vec<&'static EventType>,
    decoder: Option<Decoder>,
    process: PhantomData<fn() -> P>,
}

impl<P: Process> EventDecoder for Messages<P> {
    fn event_types(&self) -> Vec<&'static EventType> {
        self.types.clone()
    }

    fn wire(&mut self, decoders: &States) -> Result<(), Error> {
        let name = P::NAME;
        if name.contains(SEPARATOR) {
            return Err(Error::Wiring(format!(
                "the process {name:?} reads topics, so its name must not have a {SEPARATOR:?}; give it another"
            )));
        }
        let own: BTreeSet<&str> = P::Events::event_types().iter().map(|of| of.name).collect();
        if let Some(stranger) = self.types.iter().find(|of| !own.contains(of.name)) {
            return Err(Error::Wiring(format!(
                "the process {name} reads {} from a topic and is not given it: add its enum to Process::Events",
                stranger.name
            )));
        }
        for name in self.types.iter().flat_map(|of| of.names()) {
            check_id("name of a process with that of an event", &fact_type(P::NAME, name))?;
        }
        self.decoder = Some(decoders.decoder::<P::Events>()?);
        Ok(())
    }

    fn drops(&self, event_type: &str) -> bool {
        self.decoder.as_ref().is_some_and(|decoder| decoder.drops(event_type))
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let decoder = self.decoder.as_ref().expect("handlers are wired before they run");
        let event: P::Events = decoder.decode_envelope(&envelope, json)?;
        let (event_type, schema_version) = (envelope.event_type.clone(), envelope.schema_version);
        let content = |source: serde_json::Error| DecodeError::Content {
            event_type: event_type.clone(),
            schema_version,
            reason: source.into(),
        };
        let raw: Box<RawValue> = serde_json::from_str(json).map_err(content)?;
        let kept = Content(envelope.clone().with(raw));
        let content = serde_json::to_string(&kept).map_err(content)?;
        let concerns = correlated::<P>(&envelope.with(event));
        let concerns =
            concerns.map(|targets| targets.iter().map(|target| target.to.shown().to_owned()).collect());
        Ok(Box::new(Incoming { concerns, event_type, schema_version, content }))
    }
}

/// Records messages as facts of a process.
struct Recording<P>(PhantomData<fn() -> P>);

#[async_trait]
impl<P: Process> Effect for Recording<P> {
    async fn handle(&self, event: &Decoded, _outcome: Option<&Outcome>, tx: &mut Tx) -> Result<(), Failure> {
        let Incoming { concerns, event_type, schema_version, content } =
            event.downcast_ref().expect("a message is decoded by the handler that it is given to");
        let concerns = concerns.as_ref().map_err(|reason| {
            Failure::permanent(format!(
                "{} cannot tell which instances this message concerns: {reason}",
                P::NAME
            ))
        })?;
        let Some(first) = concerns.first() else { return Ok(()) };
        let stream = StreamId::new(stream_type(P::NAME), first.as_str()).map_err(Failure::permanent)?;
        tx.append_fact(stream, fact_type(P::NAME, event_type), *schema_version, content.clone())?;
        Ok(())
    }
}

/// The handlers of the consumer that a process's topics need.
pub(crate) fn handlers<P: Process>(topics: Topics) -> Handlers {
    let Topics { types, json } = topics;
    let mut handlers = Handlers::default();
    handlers.add(AnyHandler::new(
        Messages::<P> { types, decoder: None, process: PhantomData },
        Recording::<P>(PhantomData),
    ));
    for event_type in json {
        let Some(topic) = event_type.topic else { continue }; // which is refused
        handlers.decode_topic(topic.to_owned(), event_type.name.to_owned(), move |record| {
            let Some(value) = &record.value else { return Ok(None) };
            let json = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8")?;
            let decoded = message::Decoded::of_json(event_type.name, json).schema_version(event_type.version);
            // Without a key it is in the order of its partition.
            Ok(Some(if record.key.is_none() { decoded.key(record.order_key()) } else { decoded }))
        });
    }
    handlers
}

/// What a process takes from topics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics {
    types: Vec<&'static EventType>,
    /// Of these, those whose topics are of other teams.
    json: Vec<&'static EventType>,
}

impl Topics {
    pub(crate) fn add<E: EventSet>(&mut self) {
        self.types.extend(E::event_types());
    }

    pub(crate) fn add_json<E: EventSet>(&mut self) {
        self.add::<E>();
        self.json.extend(E::event_types());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub(crate) fn event_types(&self) -> &[&'static EventType] {
        &self.types
    }

    /// Two types of messages of one topic whose records name none.
    pub(crate) fn refuse_twins(&self, process: &str) -> Result<(), Error> {
        let mut topics = BTreeMap::new();
        for event_type in &self.json {
            if let Some(other) = topics.insert(event_type.topic, event_type.name) {
                return Err(Error::Wiring(format!(
                    "the process {process} reads JSON of the topic {} as {other} and as {}; records there do not say what they are, so \
                     give the topic one type",
                    event_type.topic.unwrap_or_default(),
                    event_type.name
                )));
            }
        }
        Ok(())
    }
}
