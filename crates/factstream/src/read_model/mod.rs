//! Read models: rows folded from events, in tables that anybody can query with plain SQL (G10, G11).
//!
//! The way through here: `fold` handles a batch in memory and writes each touched row once, `table` makes the tables,
//! `query` reads rows, `rebuild` makes a new table beside the live one and switches; `fill` folds the log into it.

pub(crate) mod fold;
pub(crate) mod table;
pub(crate) mod query;
pub(crate) mod fill;
mod dependents;
pub(crate) mod rebuild;
pub(crate) mod leftovers;

#[doc(hidden)]
pub use query::cursor_again;
pub use query::{LIMIT_MAX, Order, Page, Read, WAIT};
pub use rebuild::RebuildProgress;
pub(crate) use table::Managed;

use crate::processor::options::Retry;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventSet;
pub use factstream_core::read_model::{Column, ColumnValue, ReadModel};
use factstream_core::sql::Value;

/// How a read model's rows come about: a pure function over events. **Exactly once, replayable, rebuildable.**
///
/// ```
/// use factstream::{Envelope, Event, Fold, ReadModel};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum OrderEvent {
///     #[event(name = "OrderCreated")]
///     Created { customer_id: String },
///     #[event(name = "OrderShipped")]
///     Shipped { tracking_number: String },
/// }
///
/// #[derive(ReadModel, Clone)]
/// #[read_model(table = "order_status")]
/// struct OrderStatus {
///     #[column(key)]
///     order_id: String,
///     status: String,
/// }
///
/// impl Fold for OrderStatus {
///     type Events = OrderEvent;
///
///     fn fold(row: Option<Self>, event: &Envelope<OrderEvent>) -> Option<Self> {
///         let order_id = event.aggregate_id.clone();
///         match &event.event {
///             OrderEvent::Created { .. } => Some(Self { order_id, status: "PENDING".into() }),
///             OrderEvent::Shipped { .. } => row.map(|row| Self { status: "SHIPPED".into(), ..row }),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how its rows are folded",
    label = "this does not implement `Fold`",
    note = "write `impl Fold for {Self}` with `type Events` and `fn fold(row: Option<Self>, event: &Envelope<Self::Events>) -> Option<Self>`"
)]
pub trait Fold: ReadModel {
    /// The events that it is folded from.
    type Events: EventSet;

    /// The key of the row that an event belongs to; `None` when it belongs to none. The aggregate's id unless overridden.
    fn row_key(event: &Envelope<Self::Events>) -> Option<Value> {
        Some(Value::from(&event.aggregate_id))
    }

    /// The row after an event: from `row`, which is `None` before the first. `None` removes it. Pure.
    fn fold(row: Option<Self>, event: &Envelope<Self::Events>) -> Option<Self>;

    /// Into how many parts it is split, each with an owner of its own, so that several processes fold it. 1 unless
    /// overridden: one owner. With more, [`Fold::row_key`] has to be the aggregate's id. Another number takes effect with the first
    /// process that declares it; processes with the old number then stand by.
    fn shards() -> u32 {
        1
    }

    /// The version of this fold's logic. Raise it when [`Fold::fold`] or [`Fold::row_key`] makes other rows of the same events:
    /// the rows are then made anew from the log, beside the live ones. Changed columns and event types are noticed without it.
    fn version() -> u32 {
        1
    }

    /// When an event that could not be folded is tried again.
    fn retry() -> Retry {
        Retry::default()
    }
}
