//! Retention: what nobody needs any more is deleted, a little at a time, so that no table grows for ever (G13).
//!
//! Invariants: a mark of the inbox is kept for [`Retention::inbox`], and beyond it as long as its record may be delivered again:
//! while a group has something unread that is older than that. Ages are told by the store's clock, so that no process with
//! a wrong one forgets too early. A service tidies up after its own handlers only: it alone knows how far they have read. Each
//! transaction is small, and there are as many as it takes: handlers need not wait, and a busy one does not outrun it.

use super::trim::KeyTrim;
use crate::app::App;
use crate::broker::Embedded;
use crate::error::Error;
use crate::processor::{Spec, checkpoint};
use crate::retention::Retention;
use factstream_core::envelope::Position;
use factstream_core::params;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What its lease begins with: each service has one process that tidies up.
pub(crate) const NAME: &str = "housekeeping";
const INTERVAL: Duration = Duration::from_secs(60);
/// Marks that one transaction forgets: a few milliseconds of work, for SQLite has one writer.
const MARKS_MAX: u32 = 1_000;
/// The pause between two of them, for whoever waits for the writer.
const PAUSE: Duration = Duration::from_millis(5);
/// Records that one pass deletes from the topics.
const RECORDS_MAX: u32 = 5_000;
/// How far the clocks of a store, a broker and its producers may differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_hours(1);

pub(crate) async fn run(app: &App, stop: CancellationToken) -> Result<(), Error> {
    let mut keys = KeyTrim::default();
    while tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_err() {
        tidy(app, &stop).await?;
        keys.tidy(app.kernel(), app.retention()).await?;
    }
    Ok(())
}

impl App {
    /// Deletes what nobody needs any more. A running application does it by itself every minute, in one process of each service.
    /// Gives the number of marks forgotten.
    ///
    /// # Errors
    /// When the store or the broker cannot be used; what was deleted until then is deleted.
    pub async fn tidy(&self) -> Result<u64, Error> {
        let forgotten = tidy(self, &CancellationToken::new()).await?;
        KeyTrim::default().tidy(self.kernel(), self.retention()).await?;
        Ok(forgotten)
    }
}

async fn tidy(app: &App, stop: &CancellationToken) -> Result<u64, Error> {
    let now = app.clock().ask(app.store().as_ref()).await?;
    let (mut forgotten, Retention { inbox, topics, .. }) = (0, app.retention());
    for (handler, unread) in oldest_unread(app).await? {
        if let Some(before) = cutoff(now, inbox, unread) {
            forgotten += forget(app, handler, before, stop).await?;
        }
    }
    if app.groups_need_lease() {
        let before = now.checked_sub(signed(topics)).unwrap_or(Timestamp::UNIX_EPOCH);
        Embedded::new(Arc::clone(app.store())).trim(before, RECORDS_MAX).await?;
    }
    Ok(forgotten)
}

/// What a handler has not read, or has read without saying so: it may be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    Nothing,
    /// The oldest of it is from then.
    Since(Timestamp),
    /// There is some, of an age that is not known.
    Something,
}

/// For each handler of this application, what it has not read. One that cannot be asked keeps all its marks until the next
/// pass.
async fn oldest_unread(app: &App) -> Result<BTreeMap<&str, Unread>, Error> {
    let standing = checkpoint::all(app.store().as_ref()).await?;
    let mut found: BTreeMap<&str, Unread> = BTreeMap::new();
    for spec in app.specs() {
        let at = standing.positions.get(&spec.name).copied().unwrap_or(0);
        let unread = unread(app, spec, at).await.unwrap_or_else(|error| {
            tracing::debug!(handler = %spec.name, %error, "its marks are kept: how far it has read is not known");
            Unread::Something
        });
        let of_handler = found.entry(&spec.handler).or_insert(Unread::Nothing);
        *of_handler = match (*of_handler, unread) {
            (Unread::Something, _) | (_, Unread::Something) => Unread::Something,
            (Unread::Since(one), Unread::Since(other)) => Unread::Since(one.min(other)),
            (Unread::Nothing, other) | (other, Unread::Nothing) => other,
        };
    }
    Ok(found)
}

async fn unread(app: &App, spec: &Spec, checkpoint: Position) -> Result<Unread, Error> {
    let lag = spec.source.lag(app.kernel(), &spec.name, checkpoint).await?;
    Ok(match (lag.events, lag.oldest) {
        (0, _) => Unread::Nothing,
        (_, Some(oldest)) => Unread::Since(oldest),
        (_, None) => Unread::Something,
    })
}

/// Marks from before this are not needed any more; `None` when it cannot be told.
fn cutoff(now: Timestamp, kept: Duration, unread: Unread) -> Option<Timestamp> {
    let retained = now.checked_sub(signed(kept)).ok()?;
    match unread {
        Unread::Nothing => Some(retained),
        // Whatever was published before the oldest unread record has been read and committed.
        Unread::Since(oldest) => Some(retained.min(oldest.checked_sub(CLOCKS_DIFFER).ok()?)),
        Unread::Something => None,
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Forgets a handler's marks from before this time; how many.
async fn forget(app: &App, handler: &str, before: Timestamp, stop: &CancellationToken) -> Result<u64, Error> {
    let oldest = "SELECT handled_at FROM fs_inbox WHERE handler = $1 AND handled_at >= $2 AND handled_at < $3 \
                  ORDER BY handled_at LIMIT $4";
    let delete = "DELETE FROM fs_inbox WHERE handler = $1 AND handled_at >= $2 AND handled_at <= $3";
    // From where the last transaction ended: marks of other handlers that are kept are not looked at again.
    let (mut from, mut forgotten) = (String::new(), 0);
    while !stop.is_cancelled() {
        let rows = app.store().query(oldest, params![handler, &from, before, MARKS_MAX]).await?;
        let Some(last) = rows.last() else { break };
        let upto: String = last.get("handled_at")?;
        let mut tx = app.store().begin().await?;
        forgotten += tx.execute(delete, params![handler, &from, &upto]).await?;
        tx.commit(Vec::new()).await?;
        if rows.len() < MARKS_MAX as usize {
            break;
        }
        from = upto;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::INBOX_RETENTION;

    #[test]
    fn a_mark_is_kept_while_its_record_may_come_again() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let ago = |days: i64| now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap();
        assert_eq!(cutoff(now, INBOX_RETENTION, Unread::Nothing), Some(ago(30)));
        assert_eq!(cutoff(now, INBOX_RETENTION, Unread::Since(ago(1))), Some(ago(30)));
        let oldest = ago(40);
        assert_eq!(
            cutoff(now, INBOX_RETENTION, Unread::Since(oldest)),
            oldest.checked_sub(CLOCKS_DIFFER).ok()
        );
        assert_eq!(cutoff(now, INBOX_RETENTION, Unread::Something), None);
    }
}
