//! P3 by cqrs-es: its `QueryReplay` reads the whole log and hands one event after the other to a query, which writes the row
//! with one statement. That is half of what its own `GenericQuery` takes, which reads the view before it writes it.

use super::order::{Order, OrderEvent};
use super::{COUNT, TABLE};
use crate::Failed;
use crate::database::{check_events, open, settle};
use crate::figures::{Figures, Step};
use crate::projection::Projection;
use crate::workload::Ids;
use async_trait::async_trait;
use cqrs_es::persist::QueryReplay;
use cqrs_es::{DomainEvent, EventEnvelope, Query};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use sqlx::types::Json;
use std::time::Instant;

const FILL: &str = include_str!("fill.sql");
/// One streams the log, one writes.
const CONNECTIONS: u32 = 4;
/// Events that are on their way from the log to the query; 200 unless said.
const STREAMED_EVENTS: usize = 1_000;

pub(crate) async fn rebuild(url: &str, orders: u64) -> Result<Figures, Failed> {
    let pool = open(url, CONNECTIONS).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    fill(&pool, orders).await?;
    let projection = Projection::make(pool.clone()).await?;
    let log = PostgresEventRepository::new(pool).with_streaming_channel_size(STREAMED_EVENTS);
    let mut replay = QueryReplay::<_, _, Order>::new(log, Rows(projection.clone()));
    replay.use_error_handler(Box::new(|error| eprintln!("peers: an event cannot be replayed: {error}")));
    let began = Instant::now();
    replay.replay_all().await?;
    let figures = Figures::rate(orders * 2, began);
    projection.check(orders).await?;
    Ok(figures)
}

/// Writes the row of an order.
struct Rows(Projection);

impl Rows {
    async fn write(&self, order_id: &str, event: &OrderEvent) -> Result<(), sqlx::Error> {
        match event {
            OrderEvent::OrderCreated { customer_id, items, .. } => {
                self.0.created(order_id, customer_id, items).await
            }
            OrderEvent::OrderShipped { tracking_number } => self.0.shipped(order_id, tracking_number).await,
        }
    }
}

#[async_trait]
impl Query<Order> for Rows {
    /// A query of cqrs-es cannot fail; a row that is missing for it is found when the rows are counted.
    async fn dispatch(&self, order_id: &str, events: &[EventEnvelope<Order>]) {
        for event in events {
            if let Err(error) = self.write(order_id, &event.payload).await {
                eprintln!("peers: the row of {order_id} cannot be written: {error}");
            }
        }
    }
}

async fn fill(pool: &PgPool, orders: u64) -> Result<(), Failed> {
    let ids = Ids::new();
    let (mut of, mut sequences, mut types, mut payloads) = (vec![], vec![], vec![], vec![]);
    for order in 0..orders {
        for (sequence, step) in [(1_i64, Step::Create), (2, Step::Ship)] {
            let event = OrderEvent::of(order, step);
            of.push(ids.order(order).to_string());
            sequences.push(sequence);
            types.push(event.event_type());
            payloads.push(Json(event));
        }
    }
    sqlx::query(FILL).bind(of).bind(sequences).bind(types).bind(payloads).execute(pool).await?;
    check_events(pool, COUNT, orders).await?;
    settle(pool, "events").await
}
