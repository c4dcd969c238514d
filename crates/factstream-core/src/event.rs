//! Events: what happened, in the past tense, as plain enums. The first step in the way of the data.
//!
//! Invariants: an event's JSON is one flat object of its own fields; its type, schema version and topic come from the
//! code ([`EventType`]), never from the data.

use crate::content_error::ContentError;
use crate::json_text::JsonText;
use crate::schema::{Node, Schema, ShapeOf, Shapes};
use std::fmt;

/// The topic of an event that names none.
pub const DEFAULT_TOPIC: &str = "domain.events";

/// What the code says about one type of event.
///
/// ```
/// use factstream_core::event::EventType;
///
/// const MOVED: EventType = EventType::new("CustomerMoved").at_version(2).topic(Some("customers.events"));
/// assert_eq!((MOVED.version, MOVED.since), (2, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventType {
    /// The name on the wire and in the store, for example `OrderCreated`.
    pub name: &'static str,
    /// The schema version that this build writes, from 1.
    pub version: u32,
    /// The oldest schema version that may still lie in a store. Upcasters must lead from here to `version`.
    pub since: u32,
    /// The topic that the relay publishes it to; `None` keeps it at home (`#[event(private)]`).
    pub topic: Option<&'static str>,
    /// The variant in the code, where the name was made from it: what factstream 0.1 called the event.
    pub variant: Option<&'static str>,
    /// The enum that declares it, with its module; empty where it was not derived.
    pub declared_by: &'static str,
    /// What its JSON looks like; `None` where it was not derived.
    pub contract: Option<EventContract>,
    /// Names that it had before, oldest first: events that are stored or published under them are this event.
    pub was: &'static [&'static str],
    /// Whether it is only read: stored events of it are decoded, and no new ones are recorded.
    pub retired: bool,
}

/// What an event's JSON looks like, and the type itself to ask. It costs nothing until it is asked.
#[derive(Clone, Copy)]
pub struct EventContract {
    shape: ShapeOf,
    rewrite: Rewrite,
}

type Rewrite = fn(&str) -> Result<String, ContentError>;

impl EventContract {
    /// What the derive makes.
    pub const fn new(shape: fn(&mut Shapes) -> Node, rewrite: Rewrite) -> Self {
        Self { shape: ShapeOf::new(shape), rewrite }
    }

    /// What its JSON looks like.
    pub fn schema(&self) -> Schema {
        self.shape.schema()
    }

    /// Reads the JSON of the current version as the type does, and writes it again.
    ///
    /// # Errors
    /// [`ContentError`] when it does not fit.
    pub fn rewrite(&self, json: &str) -> Result<String, ContentError> {
        (self.rewrite)(json)
    }
}

impl fmt::Debug for EventContract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventContract(..)")
    }
}

/// Contracts are the same where the type is: they are functions of it.
impl PartialEq for EventContract {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.rewrite, other.rewrite)
    }
}

impl Eq for EventContract {}

impl EventType {
    /// A type of this name: version 1, published to [`DEFAULT_TOPIC`].
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            version: 1,
            since: 1,
            topic: Some(DEFAULT_TOPIC),
            variant: None,
            declared_by: "",
            contract: None,
            was: &[],
            retired: false,
        }
    }

    /// Names that it had before, oldest first.
    pub const fn was(mut self, names: &'static [&'static str]) -> Self {
        self.was = names;
        self
    }

    /// It is only read.
    pub const fn retired(mut self) -> Self {
        self.retired = true;
        self
    }

    /// Every name under which its events may be stored: today's, and those before.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.was.iter().copied())
    }

    /// Whether events of this name are of this type.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.was.contains(&name)
    }

    /// What its JSON looks like.
    pub const fn contract(mut self, contract: EventContract) -> Self {
        self.contract = Some(contract);
        self
    }

    /// The schema version that this build writes.
    pub const fn at_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// The oldest schema version that may still lie in a store.
    pub const fn since(mut self, version: u32) -> Self {
        self.since = version;
        self
    }

    /// Its topic; `None` keeps it at home.
    pub const fn topic(mut self, topic: Option<&'static str>) -> Self {
        self.topic = topic;
        self
    }

    /// The enum that declares it.
    pub const fn declared_by(mut self, path: &'static str) -> Self {
        self.declared_by = path;
        self
    }

    /// The variant that its name was made from.
    pub const fn variant(mut self, variant: &'static str) -> Self {
        self.variant = Some(variant);
        self
    }

    /// What factstream 0.1 called it, where that was another name: the variant alone.
    pub fn former_name(&self) -> Option<&'static str> {
        self.variant.filter(|variant| !self.is_called(variant))
    }
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
    fn decode(event_type: &str, json: &str) -> Option<Result<Self, ContentError>>;
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
    fn encode(&self) -> Result<JsonText, serde_json::Error>;
}
