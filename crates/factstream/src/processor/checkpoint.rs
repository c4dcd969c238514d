//! How far a projection (or the relay) has come: one row for each shard of the live generation, moved in the transaction of the
//! effects (G10), or after those of several lanes.
//!
//! Invariants: a checkpoint moves only from where this owner left it, and only while its generation is the live one: taking
//! over gives the rows to the next generation. An owner that was paused while another went on fails here, and its effects roll
//! back with it (G6). A rebuild drops a projection's tables while it has the rows, so a lane, which does not take the row,
//! holds on to the tables.

use crate::error::Error;
use crate::kernel::generation::{Generation, OWN};
use crate::processor::layout::{Layout, Layouts};
use crate::processor::shard::Shard;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::{Params, Row, now, quoted};
use factstream_core::store::{Commit, Store};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// One row of `fs_checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) handler: String,
    pub(crate) generation: Generation,
    pub(crate) shard: u32,
    /// The history of the log that its owner reads: what was read of another one must not move it.
    pub(crate) history: u64,
}

impl Place {
    /// That of something which the framework runs itself.
    pub(crate) fn own(handler: &str, history: u64) -> Self {
        Self { handler: handler.to_owned(), generation: OWN, shard: 0, history }
    }

    /// Refuses to go on in a log that has lost its newest events since its owner began: it begins anew, at the checkpoint. In a transaction,
    /// ask after its beginning.
    pub(crate) fn refuse_other_history(&self, store: &dyn Store) -> Result<(), Error> {
        if store.history() == self.history { Ok(()) } else { Err(self.superseded()) }
    }

    fn superseded(&self) -> Error {
        Error::Superseded { handler: self.handler.clone() }
    }
}

/// Where the checkpoint stands.
pub(crate) async fn read(store: &dyn Store, place: &Place) -> Result<Option<Position>, Error> {
    let sql = "SELECT position FROM fs_checkpoints WHERE handler = $1 AND generation = $2 AND shard = $3";
    let rows = store.query(sql, params![&place.handler, place.generation, place.shard]).await?;
    Ok(rows.first().map(|row| row.get("position")).transpose()?)
}

/// Where every handler stands.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// By the name of the handler or its shard; the relay's by its key.
    pub(crate) positions: HashMap<String, Position>,
    pub(crate) generations: HashMap<String, Generation>,
    /// How many events of a handler were not preceded by their causes when their wait was over.
    pub(crate) late: HashMap<String, u64>,
}

/// Where every handler that the store knows stands.
pub(crate) async fn all(store: &dyn Store) -> Result<Standing, Error> {
    let mut standing = Standing::default();
    for row in store.query(sql::SELECT_CHECKPOINTS, params![]).await? {
        let handler: String = row.get("handler")?;
        if let Some(position) = row.get("position")? {
            let shard = Shard::of(row.get("shard")?, row.get("shards")?);
            standing.positions.insert(shard.name(&handler), position);
        }
        standing.late.insert(handler.clone(), row.get("late")?);
        standing.generations.insert(handler, row.get("generation")?);
    }
    Ok(standing)
}

/// Where a reader of the log begins: refused when it lies beyond the head.
pub(crate) async fn begin(store: &dyn Store, place: &Place, shown: &str) -> Result<Position, Error> {
    let checkpoint = match read(store, place).await? {
        Some(position) => position,
        None if place.generation != OWN => return Err(place.superseded()),
        None => create_own(store, place).await?,
    };
    let head = store.wait_beyond(checkpoint, Duration::ZERO).await?;
    if checkpoint > head {
        return Err(Error::BeyondHead { handler: shown.to_owned(), checkpoint, head });
    }
    Ok(checkpoint)
}

async fn create_own(store: &dyn Store, place: &Place) -> Result<Position, Error> {
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO fs_checkpoints (handler, generation, shard, shards, position, updated_at) \
               VALUES ($1, $2, $3, 1, 0, $4) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![&place.handler, place.generation, place.shard, now()]).await?;
    tx.commit(Vec::new()).await?;
    Ok(read(store, place).await?.unwrap_or(0))
}

/// The checkpoints of a handler's live generation, one for each shard; none for a handler that is not registered.
pub(crate) async fn live(store: &dyn Store, handler: &str) -> Result<Layout, Error> {
    let rows = store.query(sql::SELECT_LIVE_CHECKPOINTS, params![handler]).await?;
    Ok(Layout { positions: rows.iter().map(|row| row.get("position")).collect::<Result<_, _>>()? })
}

/// What earlier divisions into shards have handled.
pub(crate) async fn layouts(store: &dyn Store, handler: &str) -> Result<Layouts, Error> {
    let sql = "SELECT generation, position FROM fs_checkpoints WHERE handler = $1 AND generation < 0 \
               ORDER BY generation, shard";
    let mut layouts: BTreeMap<Generation, Vec<Position>> = BTreeMap::new();
    for row in store.query(sql, params![handler]).await? {
        layouts.entry(row.get("generation")?).or_default().push(row.get("position")?);
    }
    Ok(Layouts::new(layouts.into_values().map(|positions| Layout { positions }).collect()))
}

/// Refuses a store of which a part was restored from an older backup: checkpoints lie beyond the head, and as soon as the
/// log has grown past them, what lies between would be skipped in silence.
pub(crate) async fn refuse_beyond_head(store: &dyn Store) -> Result<(), Error> {
    let furthest =
        "SELECT handler, position FROM fs_checkpoints WHERE generation >= 0 ORDER BY position DESC LIMIT 1";
    let rows = store.query(furthest, params![]).await?; // before the head, which only grows
    let Some(row) = rows.first() else { return Ok(()) };
    let (handler, checkpoint) = (row.get("handler")?, row.get("position")?);
    let head = store.wait_beyond(checkpoint, Duration::ZERO).await?;
    if checkpoint > head { Err(Error::BeyondHead { handler, checkpoint, head }) } else { Ok(()) }
}

/// Whether none of a shard's checkpoints stands at a position any more.
pub(crate) async fn is_elsewhere(
    store: &dyn Store,
    handler: &str,
    shard: u32,
    position: Position,
) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM fs_checkpoints WHERE handler = $1 AND shard = $2 AND position = $3 AND generation >= 0";
    Ok(store.query(sql, params![handler, shard, position]).await?.is_empty())
}

/// Moves a checkpoint, if it stands where this owner left it; parameters as in [`move_params`].
pub(crate) fn move_statement() -> &'static str {
    if is_on(Sabotage::FenceOff) {
        "UPDATE fs_checkpoints SET position = $5, updated_at = $6 \
         WHERE handler = $1 AND generation = $2 AND shard = $3 AND CAST($4 AS BIGINT) IS NOT NULL"
    } else if is_on(Sabotage::GenerationFenceOff) {
        "UPDATE fs_checkpoints SET position = $5, updated_at = $6 \
         WHERE handler = $1 AND CAST($2 AS BIGINT) IS NOT NULL AND shard = $3 AND position = $4"
    } else {
        sql::MOVE_CHECKPOINT
    }
}

/// The parameters of [`move_statement`].
pub(crate) fn move_params(place: &Place, from: Position, to: Position) -> Params {
    params![&place.handler, place.generation, place.shard, from, to, now()]
}

/// Begins the transaction of one of several lanes, whose checkpoint moves after all of them: makes sure that it stands where
/// this owner left it, and that no rebuild switches before the transaction's end. Lanes do not wait for each other here.
pub(crate) async fn stay(
    tx: &mut Tx,
    place: &Place,
    at: Position,
    tables: impl Iterator<Item = String>,
) -> Result<(), Error> {
    hold_tables(tx, tables).await?;
    // Only now: who waited for the tables finds what a switch made of the checkpoint.
    let sql = "SELECT 1 FROM fs_checkpoints WHERE handler = $1 AND generation = $2 AND shard = $3 AND position = $4";
    let params = params![&place.handler, place.generation, place.shard, at];
    if tx.query(sql, params).await?.is_empty() && !is_on(Sabotage::FenceOff) {
        return Err(place.superseded());
    }
    Ok(())
}

/// Whoever has read from a table keeps it from being dropped until the end. SQLite has one writer anyway.
pub(crate) async fn hold_tables(tx: &mut Tx, tables: impl Iterator<Item = String>) -> Result<(), Error> {
    for table in tables {
        tx.query(&format!("SELECT 1 FROM {} LIMIT 0", quoted(&table)), params![]).await?;
    }
    Ok(())
}

/// Moves a checkpoint in a transaction of its own.
pub(crate) async fn move_alone(
    store: &dyn Store,
    place: &Place,
    from: Position,
    to: Position,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    place.refuse_other_history(store)?;
    if tx.execute(move_statement(), move_params(place, from, to)).await? == 0 {
        return Err(place.superseded());
    }
    match tx.commit(Vec::new()).await? {
        Commit::Committed(_) => Ok(()),
        Commit::Conflict(conflict) => Err(Error::Conflict(conflict)),
    }
}

// --- What taking over does, in its own transaction.

/// The divisions that a store has without a row of the handler: shards and the generation that stands for them.
pub(crate) async fn divisions(tx: &mut Tx, handler: &str) -> Result<Vec<(u32, Generation)>, Error> {
    let sql = "SELECT shards, generation FROM fs_checkpoints WHERE handler = $1 AND generation > 0 \
               GROUP BY shards, generation ORDER BY max(updated_at) DESC";
    let of_row = |row: &Row| Ok((row.get("shards")?, row.get("generation")?));
    tx.query(sql, params![handler]).await?.iter().map(of_row).collect()
}

/// Makes the checkpoints of a generation that are not there yet.
pub(crate) async fn create(
    tx: &mut Tx,
    handler: &str,
    generation: Generation,
    shards: u32,
    position: Position,
) -> Result<(), Error> {
    let sql = "INSERT INTO fs_checkpoints (handler, generation, shard, shards, position, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    let rows = (0..shards).map(|shard| params![handler, generation, shard, shards, position, now()]);
    tx.sql_many(sql, rows.collect()).await?;
    Ok(())
}

/// Gives the checkpoints of one generation to the next; waits for whoever is moving one of them.
pub(crate) async fn hand_on(
    tx: &mut Tx,
    handler: &str,
    from: Generation,
    to: Generation,
) -> Result<(), Error> {
    let sql = "UPDATE fs_checkpoints SET generation = $3 WHERE handler = $1 AND generation = $2";
    tx.sql(sql, params![handler, from, to]).await?;
    Ok(())
}

/// Stops the checkpoints of a generation where they are, and keeps them; their positions.
pub(crate) async fn retire(
    tx: &mut Tx,
    handler: &str,
    generation: Generation,
) -> Result<Vec<Position>, Error> {
    hand_on(tx, handler, generation, -generation).await?;
    let sql = "SELECT position FROM fs_checkpoints WHERE handler = $1 AND generation = $2 ORDER BY shard";
    let rows = tx.query(sql, params![handler, -generation]).await?;
    Ok(rows.iter().map(|row| row.get("position")).collect::<Result<_, _>>()?)
}

/// Forgets divisions of which no shard was beyond a position.
pub(crate) async fn forget_reached(tx: &mut Tx, handler: &str, position: Position) -> Result<(), Error> {
    tx.sql(sql::FORGET_REACHED, params![handler, position]).await?;
    Ok(())
}

/// Forgets every checkpoint of a handler but those of one generation.
pub(crate) async fn forget_others(tx: &mut Tx, handler: &str, generation: Generation) -> Result<(), Error> {
    let sql = "DELETE FROM fs_checkpoints WHERE handler = $1 AND generation <> 0 AND generation <> $2";
    tx.sql(sql, params![handler, generation]).await?;
    Ok(())
}
