//! Timers: what a handler is to be given at a time, by its key and a name (G16). Set, cancelled and moved inside a transaction, so that
//! whatever else the transaction does happens with it or not at all.
//!
//! Invariants: one timer for each handler, key and name; setting it again replaces it. Each time it is set or moved it gets another
//! token, and it takes effect by being deleted by its token in the transaction of its effects: a cancel that committed first finds nothing
//! left to do, and a timer that was read before finds nothing to delete. While it waits among the letters its row stays, so that it can be
//! cancelled there, too. It is due by the store's clock alone.

mod due;
mod set;

pub(crate) use due::{DueTimer, TIMERS};
pub(crate) use set::{Due, NewTimer, cancel, cancel_all, cancel_each, move_to, set};

use crate::error::Error;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::params;
use factstream_core::sql::Row;
use factstream_core::store::Store;
use jiff::Timestamp;

/// When a handler's next timer wakes, from the low-water mark on.
pub(crate) async fn next_due(
    store: &dyn Store,
    handler: &str,
    low_water: Timestamp,
) -> Result<Option<Timestamp>, Error> {
    let rows = store.query(sql::SELECT_NEXT_DUE, params![handler, low_water]).await?;
    Ok(rows.first().map(|row| row.get("wakes_at")).transpose()?)
}

/// A handler's timers that are due at `now`, longest due first, from the low-water mark on, after one of them; at most so many.
pub(crate) async fn due(
    store: &dyn Store,
    handler: &str,
    (low_water, now): (Timestamp, Timestamp),
    after: Option<&DueTimer>,
    most: usize,
) -> Result<Vec<DueTimer>, Error> {
    let (wakes_at, key, name) =
        after.map_or((low_water, "", ""), |timer| (timer.due_at, timer.key.as_str(), timer.name.as_str()));
    let params = params![handler, low_water, now, wakes_at, key, name, most];
    store.query(sql::SELECT_DUE, params).await?.iter().map(DueTimer::of_row).collect()
}

/// Deletes timers by their tokens; of each, whether it was still there.
pub(crate) async fn take(tx: &mut Tx, handler: &str, timers: &[&DueTimer]) -> Result<Vec<bool>, Error> {
    by_token(tx, sql::TAKE_TIMER, handler, timers).await
}

/// Keeps timers among the letters; of each, whether it was still there.
pub(crate) async fn hold(tx: &mut Tx, handler: &str, timers: &[&DueTimer]) -> Result<Vec<bool>, Error> {
    by_token(tx, sql::HOLD_TIMER, handler, timers).await
}

async fn by_token(tx: &mut Tx, sql: &str, handler: &str, timers: &[&DueTimer]) -> Result<Vec<bool>, Error> {
    let rows = timers.iter().map(|timer| params![handler, &timer.key, &timer.name, &timer.token]);
    let touched = tx.sql_many(sql, rows.collect()).await?;
    Ok(touched.into_iter().map(|rows| rows > 0).collect())
}

/// Puts a timer back that was taken in this transaction and is to wait among the letters after all.
pub(crate) async fn put_back(tx: &mut Tx, handler: &str, timer: &DueTimer) -> Result<(), Error> {
    set::insert_held(tx, handler, timer).await
}

/// Timers of all handlers, by handler, key and name, after one of them.
pub(crate) async fn list(
    store: &dyn Store,
    (handler, key, name): (&str, &str, &str),
    most: usize,
) -> Result<Vec<Row>, Error> {
    Ok(store.query(sql::SELECT_TIMERS, params![handler, key, name, most]).await?)
}

/// The timers of one key of a handler, by name.
pub(crate) async fn list_of(
    store: &dyn Store,
    handler: &str,
    key: &str,
    most: usize,
) -> Result<Vec<Row>, Error> {
    Ok(store.query(sql::SELECT_TIMERS_OF, params![handler, key, most]).await?)
}
