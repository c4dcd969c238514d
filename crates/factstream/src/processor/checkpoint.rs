//! How far a projection (or the relay) has come: one row, moved in the transaction of the effects (G10), or after those
//! of several lanes.
//!
//! Invariants: a checkpoint moves only from where this owner left it. An owner that was paused while another went on
//! fails here, and its effects roll back with it (G6). A rebuild drops a projection's tables while it has the row, so a
//! lane, which does not take the row, holds on to the tables.

use crate::error::Error;
use crate::read_model::table::quoted;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::now;
use factstream_core::store::{Commit, Store};
use std::collections::HashMap;
use std::time::Duration;

/// The checkpoint of a handler; a new handler gets one at 0.
pub(crate) async fn read_or_create(store: &dyn Store, handler: &str) -> Result<Position, Error> {
    if let Some(position) = read(store, handler).await? {
        return Ok(position);
    }
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO fs_checkpoints (handler, position, updated_at) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![handler, now()]).await?;
    tx.commit(Vec::new()).await?;
    Ok(read(store, handler).await?.unwrap_or(0))
}

/// The checkpoint of a handler, where it has one.
pub(crate) async fn read(store: &dyn Store, handler: &str) -> Result<Option<Position>, Error> {
    let sql = "SELECT position FROM fs_checkpoints WHERE handler = $1";
    let rows = store.query(sql, params![handler]).await?;
    Ok(rows.first().map(|row| row.get("position")).transpose()?)
}

/// The checkpoints there are.
pub(crate) async fn all(store: &dyn Store) -> Result<HashMap<String, Position>, Error> {
    let rows = store.query("SELECT handler, position FROM fs_checkpoints", params![]).await?;
    rows.iter().map(|row| Ok((row.get("handler")?, row.get("position")?))).collect()
}

/// Refuses a store of which a part was restored from an older backup: checkpoints lie beyond the head, and as soon as the
/// log has grown past them, what lies between would be skipped in silence.
pub(crate) async fn refuse_beyond_head(store: &dyn Store) -> Result<(), Error> {
    let furthest = "SELECT handler, position FROM fs_checkpoints ORDER BY position DESC LIMIT 1";
    let rows = store.query(furthest, params![]).await?; // before the head, which only grows
    let Some(row) = rows.first() else { return Ok(()) };
    let (handler, checkpoint) = (row.get("handler")?, row.get("position")?);
    let head = store.wait_beyond(checkpoint, Duration::ZERO).await?;
    if checkpoint > head { Err(Error::BeyondHead { handler, checkpoint, head }) } else { Ok(()) }
}

/// Moves a checkpoint, if it stands where this owner left it; parameters as in [`move_params`].
pub(crate) fn move_statement() -> &'static str {
    if is_on(Sabotage::FenceOff) { UNFENCED } else { sql::MOVE_CHECKPOINT }
}

const UNFENCED: &str = "UPDATE fs_checkpoints SET position = $3, updated_at = $4 \
                        WHERE handler = $1 AND CAST($2 AS BIGINT) IS NOT NULL";

/// The parameters of [`move_statement`].
pub(crate) fn move_params(handler: &str, from: Position, to: Position) -> factstream_core::sql::Params {
    params![handler, from, to, now()]
}

/// Begins the transaction of one of several lanes, whose checkpoint moves after all of them: makes sure that it stands where
/// this owner left it, and that no rebuild switches before the transaction's end. Lanes do not wait for each other here.
pub(crate) async fn stay(
    tx: &mut Tx,
    handler: &str,
    at: Position,
    tables: impl Iterator<Item = String>,
) -> Result<(), Error> {
    // Whoever has read from a table keeps it from being dropped until the end. SQLite has one writer anyway.
    for table in tables {
        tx.query(&format!("SELECT 1 FROM {} LIMIT 0", quoted(&table)), params![]).await?;
    }
    // Only now: who waited for the tables finds what a switch made of the checkpoint.
    let sql = "SELECT 1 FROM fs_checkpoints WHERE handler = $1 AND position = $2";
    if tx.query(sql, params![handler, at]).await?.is_empty() && !is_on(Sabotage::FenceOff) {
        return Err(Error::Superseded { handler: handler.to_owned() });
    }
    Ok(())
}

/// Moves a checkpoint in a transaction of its own.
pub(crate) async fn move_alone(
    store: &dyn Store,
    handler: &str,
    from: Position,
    to: Position,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let moved = tx.execute(move_statement(), move_params(handler, from, to)).await?;
    if moved == 0 {
        return Err(Error::Superseded { handler: handler.to_owned() });
    }
    match tx.commit(Vec::new()).await? {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict(conflict) => Err(Error::Conflict(conflict)),
    }
}

/// Refuses to go on in a log that has lost its newest events since `history`: the reader goes on from its checkpoint.
pub(crate) fn refuse_other_history(store: &dyn Store, history: u64, handler: &str) -> Result<(), Error> {
    if store.history() == history { Ok(()) } else { Err(Error::Superseded { handler: handler.to_owned() }) }
}
