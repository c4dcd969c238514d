//! Retention: what nobody needs any more is deleted, a little at a time, so that no table grows for ever (G13).
//!
//! The inbox keeps an event's mark for [`INBOX_RETENTION`]: a duplicate that comes later would be handled again, so it is
//! far longer than a broker redelivers. Records of the embedded broker go when every group has read them.

use crate::app::App;
use crate::broker::Embedded;
use crate::error::Error;
use factstream_core::params;
use factstream_core::sql::now;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an event is known to be handled.
pub const INBOX_RETENTION: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long the embedded broker keeps records that every group has read.
pub const TOPIC_RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
const INTERVAL: Duration = Duration::from_secs(60);
const ROWS_MAX: u32 = 5_000;

pub(crate) async fn run(app: App, stop: CancellationToken) -> Result<(), Error> {
    while tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_err() {
        trim_inbox(&app, before(INBOX_RETENTION)).await?;
        if app.owned_groups() {
            Embedded::new(Arc::clone(app.store())).trim(before(TOPIC_RETENTION), ROWS_MAX).await?;
        }
    }
    Ok(())
}

fn before(retention: Duration) -> Timestamp {
    let retention = SignedDuration::try_from(retention).unwrap_or(SignedDuration::MAX);
    now().checked_sub(retention).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Forgets the oldest marks before this time, at most [`ROWS_MAX`].
pub(crate) async fn trim_inbox(app: &App, before: Timestamp) -> Result<u64, Error> {
    let sql = "SELECT handled_at FROM fs_inbox WHERE handled_at < $1 ORDER BY handled_at LIMIT $2";
    let rows = app.store().query(sql, params![before, ROWS_MAX]).await?;
    let Some(last) = rows.last() else { return Ok(0) };
    let upto: String = last.get("handled_at")?;
    let mut tx = app.store().begin().await?;
    let deleted = tx.execute("DELETE FROM fs_inbox WHERE handled_at <= $1", params![upto]).await?;
    tx.commit(Vec::new()).await?;
    Ok(deleted)
}
