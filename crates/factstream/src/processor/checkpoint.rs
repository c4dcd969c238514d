//! How far a projection (or the relay) has come: one row, moved in the transaction of the effects (G10).
//!
//! Invariant: a checkpoint moves only from where this owner left it. An owner that was paused while another went on
//! fails here, and its effects roll back with it (G6).

use crate::error::Error;
use crate::statements as sql;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::now;
use factstream_core::store::{Commit, Store};

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
