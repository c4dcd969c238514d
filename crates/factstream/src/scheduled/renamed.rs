//! What waits under the names that a service had before goes on under the new one: schedules, timers, and those that failed with what is
//! parked behind them.
//!
//! Invariants: it moves when the new handler begins to run, and not when a tool opens the store, for a service under the former name may
//! be running. What is there under both names keeps its place until the new one's is done: nothing is lost, and no two are one.

use crate::error::Error;
use crate::tx::Tx;
use factstream_core::params;

/// Each with what waits of the handler `$1` and is not there under `$2`.
const MOVES: [&str; 4] = [
    "UPDATE fs_dead_letters SET handler = $2 WHERE handler = $1 \
     AND event_key NOT IN (SELECT event_key FROM fs_blocked_keys WHERE handler = $2)",
    "UPDATE fs_blocked_keys SET handler = $2 WHERE handler = $1 \
     AND event_key NOT IN (SELECT event_key FROM fs_blocked_keys WHERE handler = $2)",
    "UPDATE fs_timers SET handler = $2 WHERE handler = $1 AND NOT EXISTS \
     (SELECT 1 FROM fs_timers n WHERE n.handler = $2 AND n.timer_key = fs_timers.timer_key AND n.name = fs_timers.name)",
    "UPDATE fs_schedules SET handler = $2 WHERE handler = $1 \
     AND name NOT IN (SELECT name FROM fs_schedules WHERE handler = $2)",
];

/// Moves what waits under a former name.
pub(super) async fn take_over(former: &str, handler: &str, tx: &mut Tx) -> Result<(), Error> {
    for sql in MOVES {
        tx.sql(sql, params![former, handler]).await?;
    }
    Ok(())
}

/// Whether schedules are known under a former name.
pub(super) async fn has_schedules(formerly: &[String], tx: &mut Tx) -> Result<bool, Error> {
    for former in formerly {
        let sql = "SELECT 1 FROM fs_schedules WHERE handler = $1 LIMIT 1";
        if !tx.query(sql, params![former]).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
