//! How far a consumer has come in its topics: the next offset of each partition, in the store, written with the effects.
//!
//! The broker has a group's offsets, too, but forgets them when the group is away for long. Invariants: an offset goes backwards only
//! in a topic that was made again, and only the live generation writes it, so a build that was replaced passes nothing over any more.

use crate::error::Error;
use crate::kernel::generation::Generation;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::broker::{Partition, Stored};
use factstream_core::params;
use factstream_core::sql::{Row, now};
use factstream_core::store::Store;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Where a consumer goes on in each partition, how new what it read there is, and what it passed over on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached<'a> {
    pub(crate) offsets: &'a [(Partition, i64)],
    /// The newest time of a record, partition by partition.
    pub(crate) newest: &'a [Option<Timestamp>],
    pub(crate) skipped: &'a BTreeMap<String, u64>,
}

/// Where a consumer stands in each partition of a cluster.
pub(crate) async fn stored(store: &dyn Store, handler: &str, cluster: &str) -> Result<Vec<Stored>, Error> {
    let sql =
        "SELECT topic, partition, next_offset, newest_at FROM fs_offsets WHERE handler = $1 AND cluster = $2";
    let of_row = |row: &Row| {
        let partition = Partition { topic: row.get("topic")?, partition: row.get("partition")? };
        Ok(Stored { partition, next: row.get("next_offset")?, newest: row.get("newest_at")? })
    };
    store.query(sql, params![handler, cluster]).await?.iter().map(of_row).collect()
}

/// Sets where a consumer stands in these partitions of a cluster, also backwards; it keeps its place in others.
pub(crate) async fn set(
    tx: &mut Tx,
    handler: &str,
    cluster: &str,
    next: &[(Partition, i64)],
    generation: Generation,
) -> Result<(), Error> {
    let sql = "DELETE FROM fs_offsets WHERE handler = $1 AND cluster = $2 AND topic = $3 AND partition = $4";
    let places = next.iter().map(|(at, _)| params![handler, cluster, &at.topic, at.partition]);
    tx.sql_many(sql, places.collect()).await?;
    let sql = "UPDATE fs_offsets SET generation = $2 WHERE handler = $1";
    tx.sql(sql, params![handler, generation]).await?;
    let none: Option<Timestamp> = None;
    let row = |(at, next): &(Partition, i64)| {
        params![handler, cluster, &at.topic, at.partition, *next, none, generation, now()]
    };
    tx.sql_many(sql::UPSERT_OFFSETS, next.iter().map(row).collect()).await?;
    Ok(())
}
