//! What a user's handlers look like, and how they fail. The step after the broker: effects.
//!
//! Four kinds, told apart by their type: a [`Fold`](crate::read_model::Fold) is a pure function over events, a [`Projector`] writes
//! rows with SQL, a [`Handler`] has effects inside the store only, an [`ExternalHandler`] asks the outside world first. Each says its guarantee.

use crate::refusals::{self, Held};
use crate::rows::Rows;
use crate::tx::Tx;
use factstream_core::decode::ContentError;
use factstream_core::envelope::Envelope;
use factstream_core::event::EventSet;
use std::error::Error;
use std::fmt;
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
/// #     const CATEGORY: &'static str = "order";
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

/// The most that is kept of one error's text. It may quote the event, which may be large.
const TEXT_BYTES_MAX: usize = 4_096;
/// The most errors of one chain.
const CHAIN_MAX: usize = 32;

/// Why a handler could not handle an event, and whether trying again can help.
///
/// Made from any error with `?`, and is then transient; but an aggregate's refusal of a command ([`ExecuteError::Rejected`](crate::ExecuteError::Rejected))
/// is permanent.
pub struct Failure {
    permanent: bool,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Trying again cannot help: the event becomes a dead letter at once.
    pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { permanent: true, error: error.into() }
    }

    /// Trying again may help: the event is retried as the handler's `retry` says, then becomes a dead letter.
    pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { permanent: false, error: error.into() }
    }

    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// The error and what caused it, outermost first, each once: a cause that the error before it quotes is left out. Each is shown
    /// as it can be kept: at most some kilobytes, without NUL, which no database text may hold. What serde_json says is shown
    /// without the content that it quotes ([`ContentError`]).
    pub fn chain(&self) -> Vec<String> {
        let of_json = self.errors().filter_map(|error| error.downcast_ref::<serde_json::Error>());
        let quoting: Vec<(String, String)> =
            of_json.map(|error| (error.to_string(), ContentError::from(error).to_string())).collect();
        let mut chain: Vec<String> = Vec::new();
        for error in self.errors().take(CHAIN_MAX) {
            let text =
                quoting.iter().fold(error.to_string(), |text, (quoted, plain)| text.replace(quoted, plain));
            let text = shown(&text);
            if chain.last().is_none_or(|before| !before.contains(&text)) {
                chain.push(text);
            }
        }
        chain
    }

    /// The error and its sources.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let outermost: &(dyn Error + 'static) = &*self.error;
        std::iter::successors(Some(outermost), |error: &&(dyn Error + 'static)| (*error).source())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let failure = Self::transient(error);
        let permanent = failure.errors().any(|error| match refusals::held(error) {
            Some(Held::Refusal) => true,
            Some(Held::Failure(error)) => is_hopeless(error),
            None => error.downcast_ref().is_some_and(is_hopeless),
        });
        Self { permanent, ..failure }
    }
}

/// Whether the code has to change before it can work.
fn is_hopeless(error: &crate::error::Error) -> bool {
    matches!(error, crate::error::Error::InsideTransaction { .. })
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.permanent { "permanent" } else { "transient" };
        write!(f, "{kind} failure: {}", self.chain().join(": "))
    }
}

fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
    let ellipsis = if end < text.len() { " .." } else { "" };
    text[..end].replace('\0', "\u{fffd}") + ellipsis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_failure_is_bounded_and_has_no_nul() {
        let failure = Failure::permanent(format!("a\0b{}", "ä".repeat(1_000_000)));
        let chain = failure.chain();
        assert!(chain[0].starts_with("a\u{fffd}b") && chain[0].len() <= TEXT_BYTES_MAX + 10, "{chain:?}");
        assert_eq!(Failure::transient("as it is").chain(), ["as it is"]);
    }

    #[test]
    fn a_reason_is_shown_once_and_without_what_it_quotes() {
        #[derive(Debug, thiserror::Error)]
        #[error("the order is refused: {0}")]
        struct Refused(#[source] serde_json::Error);

        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Twice(#[source] std::num::ParseIntError);

        let quoting = serde_json::from_str::<u32>("\"Jane Doe\"").unwrap_err();
        assert_eq!(
            Failure::from(Refused(quoting)).chain(),
            ["the order is refused: invalid type: string, expected u32 (line 1, column 10)"]
        );
        assert_eq!(Failure::from(Twice("x".parse::<u8>().unwrap_err())).chain().len(), 1);
    }
}
