//! P1 by disintegrate: each decision reads the order's events, and appends in a serializable transaction, which looks for newer
//! ones first.
//!
//! Such transactions conflict also where they are about different orders, as PostgreSQL locks pages of indexes for them. And
//! what was committed cannot be read while an append that began before it is under way, so that a caller may not find its own
//! order. Both end when the decision is made again, as its documentation has it; that is what a caller does here, at once.

use super::order::{CreateOrder, Order, OrderEvent, Refused, ShipOrder};
use super::{COUNT, SCHEMA, Store};
use crate::Failed;
use crate::database::{check_events, open};
use crate::figures::{Figures, Step, drive};
use crate::workload::Ids;
use disintegrate::serde::json::Json;
use disintegrate::{Decision, DecisionError, NoSnapshot};
use disintegrate_postgres::{Error, PgDecisionMaker, decision_maker};
use sqlx::error::DatabaseError;

type Maker = PgDecisionMaker<OrderEvent, Json<OrderEvent>, NoSnapshot>;

/// As in its documentation, which takes a pool as sqlx makes it: the callers wait for one another. That is faster, as with 64
/// connections there are so many conflicts that it does a third of the commands.
const CONNECTIONS: u32 = 10;
/// So often a decision is made again; if it is refused still, that is no conflict.
const ATTEMPTS_MAX: usize = 1_000;
/// PostgreSQL's code for a transaction that conflicts with another.
const SERIALIZATION_FAILURE: &str = "40001";

pub(crate) async fn commands(url: &str, orders: u64) -> Result<Figures, Failed> {
    let pool = open(url, CONNECTIONS).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    let store = Store::new_uninitialized(pool.clone(), Json::default());
    let maker = decision_maker(store, NoSnapshot);
    let ids = Ids::new();
    let figures = drive(orders, move |order, step| {
        let maker = maker.clone();
        async move {
            match step {
                Step::Create => make(&maker, CreateOrder::new(ids.order(order), order)).await,
                Step::Ship => make(&maker, ShipOrder::new(ids.order(order), order)).await,
            }
        }
    })
    .await?;
    check_events(&pool, COUNT, orders).await?;
    Ok(figures)
}

async fn make<D>(maker: &Maker, decision: D) -> Result<(), Failed>
where
    D: Decision<Event = OrderEvent, StateQuery = Order, Error = Refused> + Clone,
{
    for _ in 1..ATTEMPTS_MAX {
        match maker.make(decision.clone()).await {
            Err(error) if is_conflict(&error) => {}
            made => return Ok(made.map(drop)?),
        }
    }
    Ok(maker.make(decision).await.map(drop)?)
}

/// Whether the decision may be right when it is made again. The callers ship what they created, so that an order that does not
/// exist is one that cannot be read yet.
fn is_conflict(error: &DecisionError<Refused>) -> bool {
    match error {
        DecisionError::Domain(refused) => matches!(refused, Refused::DoesNotExist),
        DecisionError::EventStore(error) | DecisionError::StateStore(error) => match error.downcast_ref() {
            Some(Error::Concurrency) => true,
            Some(Error::Database(error)) => {
                let code = error.as_database_error().and_then(DatabaseError::code);
                code.as_deref() == Some(SERIALIZATION_FAILURE)
            }
            _ => false,
        },
    }
}
