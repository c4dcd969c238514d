//! What belongs to a rebuild until it switches, and what is left of one whose process died.

use crate::error::Error;
use crate::kernel::names::RESERVED;
use crate::leases;
use crate::tx::Tx;
use factstream_core::params;
use factstream_core::sql::{now, quoted};

/// What a rebuild's checkpoint, inbox and letters are called.
pub(crate) fn name_of(rebuild: u64) -> String {
    format!("{RESERVED}rebuild:{rebuild}")
}

/// Clears away the rebuilds of a handler whose processes are dead.
pub(crate) async fn clear(tx: &mut Tx, handler: &str) -> Result<(), Error> {
    let sql = "SELECT r.rebuild, r.owner, o.beat FROM fs_rebuilds r LEFT JOIN fs_owners o ON o.owner = r.owner \
               WHERE r.handler = $1";
    for row in tx.query(sql, params![handler]).await? {
        let is_known = row.get::<Option<i64>>("beat")?.is_some();
        if !is_known || leases::died_here(&row.get::<String>("owner")?) {
            drop_one(tx, row.get("rebuild")?).await?;
        }
    }
    Ok(())
}

/// Drops the tables of a rebuild and forgets all that belongs to it. One that still runs fails at its next write.
pub(crate) async fn drop_one(tx: &mut Tx, rebuild: u64) -> Result<(), Error> {
    let sql = "SELECT tables FROM fs_rebuilds WHERE rebuild = $1";
    let rows = tx.query(sql, params![rebuild]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let tables: Vec<String> = serde_json::from_str(&row.get::<String>("tables")?)
        .map_err(|source| Error::Encode { what: "a row of fs_rebuilds".into(), source })?;
    for table in tables {
        tx.sql(&format!("DROP TABLE IF EXISTS {}", quoted(&table)), params![]).await?;
    }
    let name = name_of(rebuild);
    forget(tx, &name).await?;
    tx.sql("DELETE FROM fs_amendments WHERE handler = $1", params![&name]).await?;
    tx.sql("DELETE FROM fs_dead_letters WHERE handler = $1", params![&name]).await?;
    tx.sql("DELETE FROM fs_checkpoints WHERE handler = $1", params![&name]).await?;
    tx.sql("DELETE FROM fs_rebuilds WHERE rebuild = $1", params![rebuild]).await?;
    Ok(())
}

/// Forgets what waits for a handler and what it has handled; dead letters stay on record as superseded.
pub(crate) async fn forget(tx: &mut Tx, handler: &str) -> Result<(), Error> {
    let sql = "UPDATE fs_dead_letters SET state = 'superseded', updated_at = $2 WHERE handler = $1 AND state = 'dead'";
    tx.sql(sql, params![handler, now()]).await?;
    for sql in [
        "DELETE FROM fs_dead_letters WHERE handler = $1 AND state IN ('retrying', 'waiting', 'parked')",
        "DELETE FROM fs_blocked_keys WHERE handler = $1",
        "DELETE FROM fs_inbox WHERE handler = $1",
    ] {
        tx.sql(sql, params![handler]).await?;
    }
    Ok(())
}
