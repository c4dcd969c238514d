//! Events: what happened, in the past tense, as plain enums. The first step in the way of the data.
//!
//! Invariants: an event's JSON is one flat object of its own fields; its type, schema version and topic come from the
//! code ([`EventType`]), never from the data.

/// The topic of an event that names none.
pub const DEFAULT_TOPIC: &str = "domain.events";

/// What the code says about one type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The name on the wire and in the store, for example `OrderCreated`.
    pub name: &'static str,
    /// The schema version that this build writes, from 1.
    pub version: u32,
    /// The oldest schema version that may still lie in a store. Upcasters must lead from here to `version`.
    pub since: u32,
    /// The topic that the relay publishes it to; `None` keeps it at home (`#[event(private)]`).
    pub topic: Option<&'static str>,
}

/// A set of event types that can be decoded: one enum of events, or several joined with `#[derive(EventSet)]`.
///
/// Handlers name an event set; they are given the events of that set and no others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event set",
    label = "this is not an enum of events",
    note = "put `#[derive(Event, Serialize, Deserialize)]` on an enum of events, or `#[derive(EventSet)]` on an enum that joins several: `enum Facts {{ Order(OrderEvent), Payment(PaymentEvent) }}`"
)]
pub trait EventSet: Sized + Send + Sync + 'static {
    /// Every type of event in this set.
    fn event_types() -> Vec<&'static EventType>;

    /// Decodes the JSON of an event of the current schema version; `None` when the type is not in this set.
    fn decode(event_type: &str, json: &str) -> Option<Result<Self, serde_json::Error>>;
}

/// An enum of events that an aggregate can emit. Derive it:
///
/// ```
/// use factstream_core as factstream;
/// use factstream_core::event::{Event, EventSet};
/// use factstream_macros::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
/// #[event(topic = "orders.events")]
/// enum OrderEvent {
///     #[event(name = "OrderCreated", version = 1)]
///     Created { customer_id: String },
///     #[event(name = "OrderNoted", private)]
///     Noted { text: String },
/// }
///
/// let event = OrderEvent::Created { customer_id: "c-1".into() };
/// assert_eq!(event.event_type().topic, Some("orders.events"));
/// assert_eq!(event.encode().unwrap(), r#"{"customer_id":"c-1"}"#);
/// assert_eq!(OrderEvent::decode("OrderCreated", r#"{"customer_id":"c-1"}"#).unwrap().unwrap(), event);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enum of events",
    label = "this does not implement `Event`",
    note = "put `#[derive(Event, Serialize, Deserialize)]` on the enum"
)]
pub trait Event: EventSet {
    /// The type of this event.
    fn event_type(&self) -> &'static EventType;

    /// The event's own fields as one flat JSON object.
    ///
    /// # Errors
    /// When a field cannot be written as JSON (a map whose keys are not strings, for example).
    fn encode(&self) -> Result<String, serde_json::Error>;
}
