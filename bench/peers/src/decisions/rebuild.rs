//! P3 by disintegrate: its `PgEventListener` reads the log as one stream and hands one event after the other to a listener, which
//! writes the row with one statement on a connection of its own, as in its documentation.

use super::order::OrderEvent;
use super::{COUNT, SCHEMA, Store};
use crate::Failed;
use crate::database::{check_events, open, settle};
use crate::figures::{Figures, Step};
use crate::projection::Projection;
use crate::workload::Ids;
use async_trait::async_trait;
use disintegrate::serde::Serializer;
use disintegrate::serde::json::Json;
use disintegrate::{Event, EventListener, PersistedEvent, StreamQuery, query};
use disintegrate_postgres::{
    PgEventId, PgEventListener, PgEventListenerConfig, PgEventListenerError, RetryAction,
};
use sqlx::PgPool;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const FILL: &str = include_str!("fill.sql");
/// One streams the log, one writes.
const CONNECTIONS: u32 = 4;
/// As in its documentation. The first poll is at once, and finds all that there is.
const POLL: Duration = Duration::from_millis(50);

pub(crate) async fn rebuild(url: &str, orders: u64) -> Result<Figures, Failed> {
    let pool = open(url, CONNECTIONS).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    let store = Store::new_uninitialized(pool.clone(), Json::default());
    fill(&pool, orders).await?;
    let projection = Projection::make(pool).await?;
    let end = Arc::new(Notify::new());
    let rows = Rows {
        projection: projection.clone(),
        query: query!(OrderEvent),
        missing: AtomicU64::new(orders * 2),
        end: Arc::clone(&end),
    };
    let listener = PgEventListener::builder(store)
        .register_listener(rows, PgEventListenerConfig::poller(POLL).with_retry(give_up(Arc::clone(&end))));
    let began = Instant::now();
    listener.start_with_shutdown(async move { end.notified().await }).await?;
    let figures = Figures::rate(orders * 2, began);
    projection.check(orders).await?;
    Ok(figures)
}

/// What fails is told and ends the listener; that rows are missing is found when they are counted.
fn give_up(
    end: Arc<Notify>,
) -> impl Fn(PgEventListenerError<sqlx::Error>, usize) -> RetryAction + Send + Sync + Clone + 'static {
    move |error, _| {
        eprintln!("peers: the listener ends: {error:?}");
        end.notify_one();
        RetryAction::Abort
    }
}

/// Writes the row of an order.
struct Rows {
    projection: Projection,
    query: StreamQuery<PgEventId, OrderEvent>,
    /// Events that are still to come.
    missing: AtomicU64,
    end: Arc<Notify>,
}

#[async_trait]
impl EventListener<PgEventId, OrderEvent> for Rows {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        "order_projections"
    }

    fn query(&self) -> &StreamQuery<PgEventId, OrderEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, OrderEvent>) -> Result<(), sqlx::Error> {
        match event.into_inner() {
            OrderEvent::OrderCreated { order_id, customer_id, items, .. } => {
                self.projection.created(&order_id.to_string(), &customer_id, &items).await?;
            }
            OrderEvent::OrderShipped { order_id, tracking_number } => {
                self.projection.shipped(&order_id.to_string(), &tracking_number).await?;
            }
        }
        if self.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.end.notify_one();
        }
        Ok(())
    }
}

async fn fill(pool: &PgPool, orders: u64) -> Result<(), Failed> {
    let (ids, serde) = (Ids::new(), Json::<OrderEvent>::default());
    let (mut types, mut payloads, mut of) = (vec![], vec![], vec![]);
    for order in 0..orders {
        for step in [Step::Create, Step::Ship] {
            let event = OrderEvent::of(ids.order(order), order, step);
            types.push(event.name());
            payloads.push(serde.serialize(event));
            of.push(ids.order(order));
        }
    }
    sqlx::query(FILL).bind(types).bind(payloads).bind(of).execute(pool).await?;
    check_events(pool, COUNT, orders).await?;
    settle(pool, "event").await
}
