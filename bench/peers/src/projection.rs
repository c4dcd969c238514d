//! The read model of the rebuilds: a row for each order, as in factstream's `order_projections`. Neither peer hands on when an
//! event happened, so the row says when it was written; that is the same work for the database.

use crate::Failed;
use crate::workload::Item;
use sqlx::PgPool;
use sqlx::types::Json;

const TABLE: &str = include_str!("projection/table.sql");
const INSERT: &str = include_str!("projection/insert.sql");
const SHIP: &str = include_str!("projection/ship.sql");

/// The table, empty.
#[derive(Clone)]
pub(crate) struct Projection(PgPool);

impl Projection {
    pub(crate) async fn make(pool: PgPool) -> Result<Self, Failed> {
        sqlx::raw_sql(TABLE).execute(&pool).await?;
        Ok(Self(pool))
    }

    pub(crate) async fn created(
        &self,
        order_id: &str,
        customer_id: &str,
        items: &[Item],
    ) -> Result<(), sqlx::Error> {
        sqlx::query(INSERT).bind(order_id).bind(customer_id).bind(Json(items)).execute(&self.0).await?;
        Ok(())
    }

    pub(crate) async fn shipped(&self, order_id: &str, tracking_number: &str) -> Result<(), sqlx::Error> {
        sqlx::query(SHIP).bind(order_id).bind(tracking_number).execute(&self.0).await?;
        Ok(())
    }

    /// Fails unless there are this many orders, all shipped.
    pub(crate) async fn check(&self, orders: u64) -> Result<(), Failed> {
        let sql =
            "SELECT count(*), count(shipped_at) FILTER (WHERE status = 'SHIPPED') FROM order_projections";
        let (rows, shipped): (i64, i64) = sqlx::query_as(sql).fetch_one(&self.0).await?;
        match (rows, shipped) == (orders.cast_signed(), orders.cast_signed()) {
            true => Ok(()),
            false => Err(format!("{rows} rows, {shipped} shipped; {orders} were to be").into()),
        }
    }
}
