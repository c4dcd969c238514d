//! Aggregates and commands: state folded from events, and pure decisions on it. The second step.
//!
//! Invariants: [`Aggregate::apply`] and [`Command::decide`] are pure and synchronous. They may run again (on a
//! conflict, on a rebuild, on a replay) and must then give the same answer for the same input.

use crate::event::Event;
use serde::{Serialize, de::DeserializeOwned};

/// State that is rebuilt from the events of one stream.
///
/// The [`Default`] value is the state before the first event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "this does not implement `Aggregate`",
    note = "implement `Aggregate` for it: its `TYPE`, an `Event` enum and `apply(&mut self, &Event)`; derive `Default` and `Clone`"
)]
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The aggregate's type in the store, for example `order`. With the aggregate's id it names a stream.
    const TYPE: &'static str;

    /// The enum of events that this aggregate emits.
    type Event: Event;

    /// Folds one event into the state. Pure: no I/O, no clock, no randomness.
    fn apply(&mut self, event: &Self::Event);

    /// How to keep snapshots of long streams; none unless overridden.
    ///
    /// ```
    /// # use factstream_core as factstream;
    /// # use factstream_core::aggregate::{Aggregate, SnapshotPolicy};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(factstream_macros::Event, Serialize, Deserialize)]
    /// # enum StockEvent { Reserved { quantity: u32 } }
    /// #[derive(Default, Clone, Serialize, Deserialize)]
    /// struct Stock { reserved: u64 }
    ///
    /// impl Aggregate for Stock {
    ///     const TYPE: &'static str = "stock";
    ///     type Event = StockEvent;
    ///     fn apply(&mut self, StockEvent::Reserved { quantity }: &StockEvent) {
    ///         self.reserved += u64::from(*quantity);
    ///     }
    ///     fn snapshots() -> Option<SnapshotPolicy<Self>> {
    ///         Some(SnapshotPolicy::json(100, 1)) // every 100 events; 1 is the shape's version: raise it when the struct changes
    ///     }
    /// }
    /// ```
    fn snapshots() -> Option<SnapshotPolicy<Self>> {
        None
    }
}

/// A decision on an aggregate's state: which events follow, or why none may.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command for `{A}`",
    label = "this command cannot be decided by `{A}`",
    note = "write `impl Command<{A}> for {Self}` with a typed `Error` and a pure `decide(&self, state: &{A})`"
)]
pub trait Command<A: Aggregate>: Send + Sync {
    /// Why the command is refused.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Decides which events follow. Pure: it may run again when another writer was faster.
    ///
    /// An empty list is a success that changes nothing.
    ///
    /// # Errors
    /// The aggregate's own words for why the command is refused.
    fn decide(&self, state: &A) -> Result<Vec<A::Event>, Self::Error>;
}

/// How snapshots of an aggregate's state are written and read.
#[derive(Debug)]
pub struct SnapshotPolicy<A> {
    /// A snapshot is taken when this many events lie behind the last one.
    pub every_events: u64,
    /// The version of the state's shape; a snapshot of another version is dropped and the events are folded instead.
    pub schema_version: u32,
    /// State to JSON text.
    pub encode: fn(&A) -> Result<String, serde_json::Error>,
    /// JSON text to state.
    pub decode: fn(&str) -> Result<A, serde_json::Error>,
}

impl<A: Serialize + DeserializeOwned> SnapshotPolicy<A> {
    /// Snapshots as JSON, one whenever `every_events` events (at least 1) have come since the last.
    ///
    /// Raise `schema_version` when the meaning or the shape of the state changes: older snapshots are then dropped.
    pub fn json(every_events: u64, schema_version: u32) -> Self {
        Self {
            every_events: every_events.max(1),
            schema_version,
            encode: |state| crate::variant::to_json(state),
            decode: |json| serde_json::from_str(json),
        }
    }
}
