//! P1 by cqrs-es: each command is a SELECT of the order's events and a transaction of one INSERT.

use super::order::{Order, OrderCommand};
use super::{COUNT, TABLE};
use crate::Failed;
use crate::database::{check_events, open};
use crate::figures::{CALLERS, Figures, drive};
use crate::workload::Ids;
use postgres_es::postgres_cqrs;
use std::sync::Arc;

pub(crate) async fn commands(url: &str, orders: u64) -> Result<Figures, Failed> {
    let pool = open(url, CALLERS as u32).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    let orders_system = Arc::new(postgres_cqrs::<Order>(pool.clone(), vec![], ()));
    let ids = Ids::new();
    let figures = drive(orders, move |order, step| {
        let orders_system = Arc::clone(&orders_system);
        async move {
            let id = ids.order(order).to_string();
            Ok(orders_system.execute(&id, OrderCommand::of(order, step)).await?)
        }
    })
    .await?;
    check_events(&pool, COUNT, orders).await?;
    Ok(figures)
}
