//! The processes of the orders that a demo has placed: which have not ended, and what still waits for them.

use super::load::Load;
use crate::Failed;
use crate::fulfilment::NAME;
use factstream::{App, params};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until each order's process has ended. One that does not is found by the check.
///
/// # Errors
/// When the store cannot be read.
pub async fn end(app: &App, load: &Load, at_most: Duration) -> Result<(), Failed> {
    let deadline = Instant::now() + at_most;
    while Instant::now() < deadline && !unfinished(app, load).await?.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Orders whose process has not begun or not ended, and timers of theirs that are left.
///
/// # Errors
/// When the store cannot be read.
pub async fn unfinished(app: &App, load: &Load) -> Result<Vec<String>, Failed> {
    let mut tx = app.begin().await?;
    let sql = "SELECT process_id FROM fs_processes WHERE process = $1 AND status = 'ended'";
    let rows = tx.query(sql, params![NAME]).await?;
    let ended = rows.iter().map(|row| row.get("process_id")).collect::<Result<BTreeSet<String>, _>>()?;
    let rows = tx.query("SELECT timer_key FROM fs_timers WHERE handler = $1", params![NAME]).await?;
    let timed = rows.iter().map(|row| row.get("timer_key")).collect::<Result<BTreeSet<String>, _>>()?;
    let placed = || load.orders.iter().map(|order| &order.order_id);
    let running = placed().filter(|order| !ended.contains(*order));
    let waiting = placed().filter(|order| timed.contains(*order));
    let running = running.map(|order| format!("{order}: its process has not ended"));
    Ok(running.chain(waiting.map(|order| format!("{order}: a timer is left"))).collect())
}
