//! Topics of other teams that carry plain JSON: no headers of ours, one type for a topic.
//!
//! Invariant: a record is known by what the framework knows records by, its place and a digest of what lies there, or by an id
//! that its value has; it is read with every digit, for its text is what the type is decoded from.

use crate::error::Error;
use crate::handler::declare::Consumer;
use crate::handler::effect::{AnyHandler, Calling, Effect, EventDecoder, Handling};
use crate::handler::reaction::Decoded;
use crate::handler::{ExternalHandler, Handler};
use crate::kernel::states::States;
use factstream_core::decode::{ContentError, DecodeError, read_json};
use factstream_core::envelope::Envelope;
use factstream_core::event::{EventSet, EventType};
use factstream_core::message;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;

/// A message of another team: any type that serde reads. What handlers of a [JSON topic](Consumer::topic) name as their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + Sync + 'static> EventSet for Json<T> {
    /// None: a topic names its type ([`Consumer::topic`]).
    fn event_types() -> Vec<&'static EventType> {
        Vec::new()
    }

    fn decode(_event_type: &str, json: &str) -> Option<Result<Self, ContentError>> {
        Some(read_json(json).map(Self))
    }
}

impl Consumer {
    /// Reads a topic of another team, whose records have none of our headers.
    ///
    /// ```
    /// use factstream::{Consumer, Envelope, Failure, Handler, Json, Tx, params};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Rate {
    ///     pair: String,
    ///     rate: f64,
    /// }
    ///
    /// struct KeepRates;
    ///
    /// impl Handler for KeepRates {
    ///     type Events = Json<Rate>;
    ///
    ///     async fn handle(&self, event: &Envelope<Json<Rate>>, tx: &mut Tx) -> Result<(), Failure> {
    ///         let Json(rate) = &event.event;
    ///         tx.sql("UPDATE rates SET rate = $2 WHERE pair = $1", params![&rate.pair, rate.rate]).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let consumer = Consumer::new("pricing").topic("fx.rates").json::<Rate>().key(|rate| rate.pair.clone()).handler(KeepRates);
    /// # let _ = consumer;
    /// ```
    pub fn topic(self, name: impl Into<String>) -> TopicOf {
        TopicOf { consumer: self, topic: name.into() }
    }
}

/// A topic of a consumer, before it is said what its records are.
#[must_use = "say what its records are: .json::<T>()"]
pub struct TopicOf {
    consumer: Consumer,
    topic: String,
}

impl TopicOf {
    /// Its records' values are JSON of this type.
    pub fn json<T: DeserializeOwned + Send + Sync + 'static>(self) -> JsonTopic<T> {
        let Self { consumer, topic } = self;
        JsonTopic { consumer, event_type: topic.clone(), topic, key: None, event_id: None }
    }
}

impl fmt::Debug for TopicOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicOf").field("topic", &self.topic).finish_non_exhaustive()
    }
}

type TextOf<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

/// A topic whose records' values are JSON of one type.
#[must_use = "give it a handler: .handler(..) or .external(..)"]
pub struct JsonTopic<T> {
    consumer: Consumer,
    topic: String,
    event_type: String,
    key: Option<TextOf<T>>,
    event_id: Option<TextOf<T>>,
}

impl<T> fmt::Debug for JsonTopic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> JsonTopic<T> {
    /// What the records' type is called, in the status and the dead letters: the topic's name by default.
    ///
    /// A record whose header `event_type` names an event of another handler of this consumer is left to that one.
    pub fn event_type(mut self, name: impl Into<String>) -> Self {
        self.event_type = name.into();
        self
    }

    /// In whose order a record is handled, and the aggregate that it is of: the record's own key by default. Pure.
    pub fn key(mut self, key: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.key = Some(Box::new(key));
        self
    }

    /// The id that the producer gives a message, known within its topic and source: a message with an id that was seen before is
    /// not handled again. By default a record is known by its place. Pure.
    pub fn event_id(mut self, id: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.event_id = Some(Box::new(id));
        self
    }

    /// Handles the records with effects inside the store.
    pub fn handler<H: Handler<Events = Json<T>>>(self, handler: H) -> Consumer {
        self.with(Handling(handler))
    }

    /// Handles the records by asking the outside world first.
    pub fn external<C: ExternalHandler<Events = Json<T>>>(self, external: C) -> Consumer {
        self.with(Calling(external))
    }

    fn with(self, effect: impl Effect + 'static) -> Consumer {
        let Self { mut consumer, topic, event_type, key, event_id } = self;
        // Once for each topic that is declared: types of events live as long as the program.
        let (name, topic_name): (&'static str, &'static str) =
            (event_type.clone().leak(), topic.clone().leak());
        let event_type_of_topic: &'static EventType =
            Box::leak(Box::new(EventType::new(name).topic(Some(topic_name))));
        let decoder = JsonDecoder::<T> { event_type: event_type_of_topic, value: PhantomData };
        consumer.handlers.add(AnyHandler::new(decoder, effect));
        consumer.handlers.decode_topic(topic, event_type.clone(), move |record| {
            let Some(value) = &record.value else { return Ok(None) };
            let json = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8")?;
            let mut decoded = message::Decoded::of_json(&event_type, json);
            if key.is_some() || event_id.is_some() {
                let value: T = read_json(json).map_err(|error| error.to_string())?;
                if let Some(key) = &key {
                    decoded = decoded.key(key(&value));
                }
                if let Some(id) = &event_id {
                    decoded = decoded.event_id(id(&value));
                }
            }
            Ok(Some(decoded))
        });
        consumer
    }
}

/// Decodes the one type of a topic.
struct JsonDecoder<T> {
    event_type: &'static EventType,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> EventDecoder for JsonDecoder<T> {
    fn event_types(&self) -> Vec<&'static EventType> {
        vec![self.event_type]
    }

    fn wire(&mut self, _decoders: &States) -> Result<(), Error> {
        Ok(())
    }

    fn decode(&self, envelope: Envelope<()>, json: &str) -> Result<Decoded, DecodeError> {
        let value = read_json::<T>(json).map_err(|reason| DecodeError::Content {
            event_type: envelope.event_type.clone(),
            schema_version: envelope.schema_version,
            reason,
        })?;
        Ok(Box::new(envelope.with(Json(value))))
    }
}
