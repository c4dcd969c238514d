//! What the entries share: a pool of open connections, a log that lies still, and counts of what came of a run.

use crate::Failed;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// A pool whose connections are all open before the clock starts. It does not ask a connection whether it is alive each time
/// it hands it out, as sqlx does unless told otherwise: that would be an exchange with the server for every statement.
pub(crate) async fn open(url: &str, connections: u32) -> Result<PgPool, Failed> {
    let pool =
        PgPoolOptions::new().max_connections(connections).test_before_acquire(false).connect(url).await?;
    let mut all = Vec::new();
    for _ in 0..connections {
        all.push(pool.acquire().await?);
    }
    drop(all);
    Ok(pool)
}

/// Does now what autovacuum and the checkpointer would do to a table that was just filled during a measurement.
pub(crate) async fn settle(pool: &PgPool, table: &str) -> Result<(), Failed> {
    sqlx::query(&format!("VACUUM (FREEZE, ANALYZE) {table}")).execute(pool).await?;
    sqlx::query("CHECKPOINT").execute(pool).await?;
    Ok(())
}

/// Fails unless a log has this many orders, each created and shipped. `sql` counts the orders that were created, those that
/// were shipped, and all events.
pub(crate) async fn check_events(pool: &PgPool, sql: &str, orders: u64) -> Result<(), Failed> {
    let (created, shipped, all): (i64, i64, i64) = sqlx::query_as(sql).fetch_one(pool).await?;
    let wanted = orders.cast_signed();
    match (created, shipped, all) == (wanted, wanted, wanted * 2) {
        true => Ok(()),
        false => {
            Err(format!("{created} created, {shipped} shipped, {all} events; {orders} orders were to be")
                .into())
        }
    }
}
