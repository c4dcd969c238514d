//! What a user's handlers look like. The step after the broker: effects.
//!
//! Four kinds, told apart by their type: a [`Fold`](crate::read_model::Fold) is a pure function over events, a [`Projector`] writes
//! rows with SQL, a [`Handler`] has effects inside the store only, an [`ExternalHandler`] asks the outside world first. Each says its guarantee.

use crate::handler::Failure;
use crate::tx::{Rows, Tx};
use factstream_core::envelope::Envelope;
use factstream_core::event::EventSet;
use std::future::Future;

/// Effects inside the store: SQL, appended events, commands on other aggregates. **Exactly once** (G6).
///
/// Everything done through the [`Tx`] commits together with the mark "handled". The transaction is the store's: do not
/// wait for the outside world in it (use an [`ExternalHandler`]); it has a time limit, and what exceeds it fails like any error.
///
/// ```
/// use factstream::{Envelope, Event, Failure, Handler, Tx, params};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(topic = "orders.events")]
/// enum OrderEvent {
///     #[event(name = "OrderCreated")]
///     Created { customer_id: String },
/// }
///
/// struct CountOrders;
///
/// impl Handler for CountOrders {
///     type Events = OrderEvent;
///
///     async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
///         let OrderEvent::Created { customer_id } = &event.event;
///         let sql = "INSERT INTO orders_per_customer (customer_id, orders) VALUES ($1, 1) \
///                    ON CONFLICT (customer_id) DO UPDATE SET orders = orders_per_customer.orders + 1";
///         tx.sql(sql, params![customer_id]).await?;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "this does not implement `Handler`",
    note = "implement `Handler` (effects in the store) or `ExternalHandler` (asks the outside world first) for it"
)]
pub trait Handler: Send + Sync + 'static {
    /// The events it is given.
    type Events: EventSet;

    /// Handles one event. Events of one key come one at a time and in order (G7).
    ///
    /// # Errors
    /// A [`Failure`] rolls back everything this call did and stops the event's key, no other (G8). `?` on any error
    /// makes a transient failure, which is retried; [`Failure::permanent`] is not, nor is an aggregate's refusal of a command.
    fn handle(
        &self,
        event: &Envelope<Self::Events>,
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Rows written with SQL, from the events of the log. **Exactly once, replayable, rebuildable.**
///
/// A rebuild runs it again over the whole log, on new tables beside the live ones. So it is given [`Rows`] and no transaction that
/// could append an event or execute a command, and reaches its tables by [`Rows::table`].
///
/// ```
/// use factstream::{Envelope, Event, Failure, Projection, Projector, Rows, params};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Event, Serialize, Deserialize)]
/// enum OrderEvent {
///     Created { customer_id: String },
/// }
///
/// struct CountOrders;
///
/// impl Projector for CountOrders {
///     type Events = OrderEvent;
///
///     async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
///         let OrderEvent::Created { customer_id } = &event.event;
///         let table = rows.table("customers");
///         let sql = format!(
///             "INSERT INTO {table} (customer_id, orders) VALUES ($1, 1) \
///              ON CONFLICT (customer_id) DO UPDATE SET orders = {table}.orders + 1"
///         );
///         rows.sql(&sql, params![customer_id]).await?;
///         Ok(())
///     }
/// }
///
/// let create = "CREATE TABLE {table} (customer_id TEXT PRIMARY KEY, orders BIGINT NOT NULL)";
/// let projection = Projection::new("customers", CountOrders).table("customers", create, &[]);
/// # let _ = projection;
/// ```
///
/// An event that it appended would be appended again by each rebuild. This does not compile:
///
/// ```compile_fail,E0599
/// # use factstream::{Aggregate, Event, Rows};
/// # #[derive(Event, serde::Serialize, serde::Deserialize)]
/// # enum OrderEvent { Created {} }
/// # #[derive(Default, Clone)]
/// # struct Order;
/// # impl Aggregate for Order {
/// #     const TYPE: &'static str = "order";
/// #     type Event = OrderEvent;
/// #     fn apply(&mut self, _: &OrderEvent) {}
/// # }
/// # async fn project(rows: &mut Rows) {
/// rows.append::<Order>("o-1", &[OrderEvent::Created {}]).await;
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projector",
    label = "this does not implement `Projector`",
    note = "implement `Projector` (it writes rows with SQL) for it; what appends events or executes commands is a `Handler` of a `Consumer`"
)]
pub trait Projector: Send + Sync + 'static {
    /// The events it is given.
    type Events: EventSet;

    /// Writes the rows of one event. Events of one key come one at a time and in order (G7).
    ///
    /// # Errors
    /// As [`Handler::handle`].
    fn project(
        &self,
        event: &Envelope<Self::Events>,
        rows: &mut Rows,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A call to the outside world, then effects inside the store. **At least once outwards, exactly once inwards.**
///
/// `call` runs before and outside the transaction. After a crash it may run again for the same event: give the other
/// side the event's [identity](Envelope::identity) as its idempotency key. `handle` then records the outcome, exactly once. Calls of different keys
/// run in parallel up to the consumer's `concurrency`; one key stays in order.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::{Envelope, ExternalHandler, Failure, Tx};
///
/// /// Has a parcel brought by a carrier.
/// struct Carrying;
/// # async fn ask_the_carrier(order_id: &str, key: &str) -> Result<String, std::io::Error> { Ok(format!("parcel of {order_id}")) }
///
/// impl ExternalHandler for Carrying {
///     type Events = OrderEvent;
///     type Outcome = Option<String>;
///
///     async fn call(&self, event: &Envelope<OrderEvent>) -> Result<Self::Outcome, Failure> {
///         match &event.event {
///             // The carrier knows a repeat by the key, and answers it with the same parcel.
///             OrderEvent::Created { .. } => Ok(Some(ask_the_carrier(&event.aggregate_id, event.identity()).await?)),
///             OrderEvent::Shipped { .. } => Ok(None),
///         }
///     }
///
///     async fn handle(&self, event: &Envelope<OrderEvent>, parcel: &Self::Outcome, tx: &mut Tx) -> Result<(), Failure> {
///         if let Some(parcel) = parcel.clone() {
///             tx.command::<Order, _>(&event.aggregate_id, OrderCommand::Ship { parcel }).await?;
///         }
///         Ok(())
///     }
/// }
/// # let test = testing::external_handler(Carrying).await;
/// # test.record::<Order>("o-1", [OrderEvent::Created { customer_id: "c-1".into() }]).await;
/// # test.settle().await;
/// # assert_eq!(test.events::<Order>("o-1").await.len(), 2);
/// # Ok(())
/// # }
/// ```
pub trait ExternalHandler: Send + Sync + 'static {
    /// The events it is given.
    type Events: EventSet;

    /// What the outside world answered.
    type Outcome: Send + Sync + 'static;

    /// Asks the outside world. [`event.identity()`](Envelope::identity) is the idempotency key to pass on: it is the event's id,
    /// but for a foreign producer's id, which others may use, too.
    ///
    /// # Errors
    /// As [`Handler::handle`].
    fn call(
        &self,
        event: &Envelope<Self::Events>,
    ) -> impl Future<Output = Result<Self::Outcome, Failure>> + Send;

    /// Records the outcome.
    ///
    /// # Errors
    /// As [`Handler::handle`].
    fn handle(
        &self,
        event: &Envelope<Self::Events>,
        outcome: &Self::Outcome,
        tx: &mut Tx,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
