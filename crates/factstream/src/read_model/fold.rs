//! How rows come about: what a user writes of a read model.

use super::keys::Keys;
use crate::handler::Retry;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventSet;
use factstream_core::read_model::ReadModel;

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

    /// The key of the row that an event belongs to; `None` when it belongs to none. The aggregate's id by default.
    ///
    /// # Panics
    /// By default, where the key is not text: the event is then a dead letter that says so.
    fn row_key(event: &Envelope<Self::Events>) -> Option<Self::Key> {
        let key = Self::key_from_id(&event.aggregate_id);
        assert!(
            key.is_some(),
            "the key of {} is not an aggregate's id: write Fold::row_key for it",
            Self::TABLE
        );
        key
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

/// Rows of which one event touches several, each found by its key. **Exactly once, replayable, rebuildable.**
///
/// A read model with one row for each aggregate is a [`Fold`].
///
/// An event stands in the order of all rows that it touches. So events of such a read model are folded one after the other: one that
/// fails holds up the whole read model until it is redriven, edited or discarded.
///
/// ```
/// use factstream::{Envelope, Event, FoldRows, Keys, ReadModel};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum TransferEvent {
///     Made { from: String, to: String, currency: String, cents: i64 },
/// }
///
/// #[derive(ReadModel, Clone)]
/// #[read_model(table = "balances")]
/// struct Balance {
///     #[column(key)]
///     account: String,
///     #[column(key)]
///     currency: String,
///     cents: i64,
/// }
///
/// impl FoldRows for Balance {
///     type Events = TransferEvent;
///
///     fn keys(event: &Envelope<TransferEvent>) -> Keys<(String, String)> {
///         let TransferEvent::Made { from, to, currency, .. } = &event.event;
///         Keys::from([(from.clone(), currency.clone()), (to.clone(), currency.clone())])
///     }
///
///     fn fold_row(row: Option<Self>, key: &(String, String), event: &Envelope<TransferEvent>) -> Option<Self> {
///         let TransferEvent::Made { from, cents, .. } = &event.event;
///         let (account, currency) = key.clone();
///         let before = row.map_or(0, |row| row.cents);
///         let change = if *from == account { -cents } else { *cents };
///         Some(Self { account, currency, cents: before + change })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how its rows are folded",
    label = "this implements neither `Fold` nor `FoldRows`",
    note = "write `impl Fold for {Self}` with `type Events` and `fn fold(row: Option<Self>, event: &Envelope<Self::Events>) -> Option<Self>`",
    note = "or `impl FoldRows for {Self}` where one event touches several rows"
)]
pub trait FoldRows: ReadModel {
    /// The events that it is folded from.
    type Events: EventSet;

    /// Whether an event may touch more rows than one.
    #[doc(hidden)]
    const SEVERAL: bool = true;

    /// The keys of the rows that an event touches. Each is folded once, however often it is named.
    fn keys(event: &Envelope<Self::Events>) -> Keys<Self::Key>;

    /// The row with this key after an event: from `row`, which is `None` before the first. `None` removes it. Pure.
    fn fold_row(row: Option<Self>, key: &Self::Key, event: &Envelope<Self::Events>) -> Option<Self>;

    /// The version of this fold's logic, as [`Fold::version`].
    fn version() -> u32 {
        1
    }

    /// When an event that could not be folded is tried again.
    fn retry() -> Retry {
        Retry::default()
    }

    /// Into how many parts it is split.
    #[doc(hidden)]
    fn parts() -> u32 {
        1
    }
}

impl<R: Fold> FoldRows for R {
    type Events = <R as Fold>::Events;

    const SEVERAL: bool = false;

    fn keys(event: &Envelope<Self::Events>) -> Keys<Self::Key> {
        R::row_key(event).map_or(Keys::None, Keys::One)
    }

    fn fold_row(row: Option<Self>, _key: &Self::Key, event: &Envelope<Self::Events>) -> Option<Self> {
        R::fold(row, event)
    }

    fn version() -> u32 {
        <R as Fold>::version()
    }

    fn retry() -> Retry {
        <R as Fold>::retry()
    }

    fn parts() -> u32 {
        R::shards().max(1)
    }
}
