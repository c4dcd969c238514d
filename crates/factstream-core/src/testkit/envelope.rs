//! Envelopes for tests of folds and handlers: an event with all that surrounds it.

use super::through_json;
use crate::causes::Causes;
use crate::envelope::{Envelope, Version};
use crate::event::Event;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

impl<E: Event> Envelope<E> {
    /// An event of this aggregate, for tests: with an id of its own, recorded at the beginning of 1970 unless [`Envelope::at`] says
    /// another time. Its fields are public: set what else the test needs.
    ///
    /// The event goes through its JSON and back, as a store or a topic would give it.
    ///
    /// ```
    /// # use factstream_core as factstream;
    /// use factstream_core::envelope::Envelope;
    /// # use factstream_macros::Event;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
    /// #[event(topic = "orders.events")]
    /// enum OrderEvent {
    ///     OrderCreated { customer_id: String },
    /// }
    ///
    /// let created = OrderEvent::OrderCreated { customer_id: "c-1".into() };
    /// let envelope = Envelope::of("o-1", created).at("2026-11-29T12:00:00Z".parse()?);
    /// assert_eq!((envelope.aggregate_id.as_str(), envelope.event_type.as_str()), ("o-1", "OrderCreated"));
    /// # Ok::<_, jiff::Error>(())
    /// ```
    ///
    /// An event set of several enums takes it with [`Envelope::map`]: `Envelope::of("o-1", created).map(Facts::Order)`.
    ///
    /// # Panics
    /// When the event does not survive the way through its JSON.
    pub fn of(aggregate_id: impl Into<String>, event: E) -> Self {
        let event_type = event.event_type();
        let event_id = Uuid::now_v7().to_string();
        Self {
            event: through_json(&event),
            correlation_id: Some(event_id.clone()),
            causation_id: Some(event_id.clone()),
            event_id,
            scoped_id: None,
            event_type: event_type.name.to_owned(),
            schema_version: event_type.version,
            aggregate_id: aggregate_id.into(),
            aggregate_type: None,
            version: None,
            position: None,
            timestamp: Timestamp::UNIX_EPOCH,
            source: "test".to_owned(),
            traceparent: None,
            actor: None,
            attributes: BTreeMap::new(),
            topic: event_type.topic.map(str::to_owned),
            causes: Causes::default(),
        }
    }
}

impl<E> Envelope<E> {
    /// The same event, recorded at this time: for tests.
    #[must_use]
    pub fn at(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = timestamp;
        self
    }

    /// The same event at this place in its stream: for tests.
    #[must_use]
    pub fn at_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }
}
