//! Setting, moving and cancelling timers inside a transaction.

use super::due::DueTimer;
use crate::error::Error;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::envelope::check_id;
use factstream_core::params;
use factstream_core::read_model::RowKey;
use factstream_core::recordable::EVENT_BYTES_MAX;
use factstream_core::sql::{Params, Value};
use factstream_core::store::TableRows;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use uuid::Uuid;

/// How far ahead a timer may be set: about a hundred years. What is farther is a mistake.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24 * 365 * 100);

const CANCEL: &str = "DELETE FROM fs_timers WHERE handler = $1 AND timer_key = $2 AND name = $3";

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Due {
    /// At this time; at once, where that has passed.
    At(Timestamp),
    /// So long after the transaction sets it, by the store's clock.
    After(Duration),
}

impl Due {
    /// When that is: never before now, so that whoever looks for what is due need not look far back.
    fn by(self, now: Timestamp) -> Option<Timestamp> {
        let at = match self {
            Self::At(at) => at,
            Self::After(wait) => now.checked_add(SignedDuration::try_from(wait).ok()?).ok()?,
        };
        let furthest = now.checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX);
        // Times are kept to the microsecond: one within a microsecond is due at its end, not before its time.
        let micros = at.as_microsecond() + i64::from(at.subsec_nanosecond() % 1_000 > 0);
        let at = Timestamp::from_microsecond(micros).ok()?;
        (at <= furthest).then(|| at.max(now))
    }
}

/// A timer that is to be set.
#[derive(Debug, Clone)]
pub(crate) struct NewTimer {
    /// In whose order it is handled.
    pub(crate) key: String,
    /// One of each name, by key.
    pub(crate) name: String,
    pub(crate) due: Due,
    /// What the payload is, for whoever handles it; empty where there is none.
    pub(crate) payload_type: String,
    /// JSON.
    pub(crate) payload: String,
}

/// Sets a timer of a handler, in the place of the one with its key and name; when it is due. It is written with others that the
/// transaction sets, before the next statement.
pub(crate) async fn set(tx: &mut Tx, handler: &str, timer: &NewTimer) -> Result<Timestamp, Error> {
    let now = tx.kernel().clock.now();
    let origin = tx.origin_json()?;
    let at = check(timer, now)?;
    let NewTimer { key, name, payload_type, payload, .. } = timer;
    let token = Uuid::now_v7().to_string();
    let row = params![handler, key, name, token, at, at, payload_type, payload, origin, now];
    put(tx, row).await?;
    tx.sets_timers();
    Ok(at)
}

/// Deletes a timer; whether there was one.
pub(crate) async fn cancel(tx: &mut Tx, handler: &str, key: &str, name: &str) -> Result<bool, Error> {
    Ok(tx.sql(CANCEL, params![handler, key, name]).await? > 0)
}

/// Deletes timers by key and name, where they are there.
pub(crate) async fn cancel_each(
    tx: &mut Tx,
    handler: &str,
    timers: impl Iterator<Item = (&str, &str)>,
) -> Result<(), Error> {
    let rows = timers.map(|(key, name)| params![handler, key, name]).collect();
    tx.sql_many(CANCEL, rows).await?;
    Ok(())
}

/// Deletes all timers of these keys.
pub(crate) async fn cancel_all(
    tx: &mut Tx,
    handler: &str,
    keys: impl Iterator<Item = &str>,
) -> Result<(), Error> {
    let sql = "DELETE FROM fs_timers WHERE handler = $1 AND timer_key = $2";
    tx.sql_many(sql, keys.map(|key| params![handler, key]).collect()).await?;
    Ok(())
}

/// Has a timer fire at another time; when that is, or `None` when there is no such timer.
pub(crate) async fn move_to(
    tx: &mut Tx,
    handler: &str,
    key: &str,
    name: &str,
    due: Due,
) -> Result<Option<Timestamp>, Error> {
    let now = tx.kernel().clock.now();
    let at = due.by(now).ok_or_else(|| too_far(key, name))?;
    let token = Uuid::now_v7().to_string();
    let moved = tx.sql(sql::MOVE_TIMER, params![handler, key, name, token, at, now]).await?;
    tx.sets_timers();
    Ok((moved > 0).then_some(at))
}

/// Writes a timer that waits among the letters.
pub(super) async fn insert_held(tx: &mut Tx, handler: &str, timer: &DueTimer) -> Result<(), Error> {
    let DueTimer { key, name, token, due_at, payload_type, payload, origin, set_at } = timer;
    let row =
        params![handler, key, name, token, *due_at, Value::Null, payload_type, payload, origin, *set_at];
    put(tx, row).await
}

/// Puts a row of the columns below.
async fn put(tx: &mut Tx, row: Params) -> Result<(), Error> {
    const TABLE: &str = "fs_timers";
    const COLUMNS: [&str; 10] = [
        "handler",
        "timer_key",
        "name",
        "token",
        "due_at",
        "wakes_at",
        "payload_type",
        "payload",
        "origin",
        "set_at",
    ];
    const KEY: [usize; 3] = [0, 1, 2];
    let key = RowKey::several(KEY.map(|at| row[at].clone())).expect("a timer's key is text");
    let none = |table| TableRows {
        table,
        columns: COLUMNS.map(str::to_owned).to_vec(),
        rows: Vec::new(),
        replace_by: KEY.to_vec(),
    };
    Ok(tx.put_in(TABLE.to_owned(), none, key, row).await?)
}

/// When it is due; refused when it cannot be kept, or would never fire. Its key is checked by whoever makes it of ids.
fn check(timer: &NewTimer, now: Timestamp) -> Result<Timestamp, Error> {
    check_id("name of a timer", &timer.name)?;
    let bytes = timer.payload.len();
    if bytes > EVENT_BYTES_MAX {
        return Err(refused(
            &timer.key,
            &timer.name,
            format!(
                "its payload has {bytes} bytes, at most {EVENT_BYTES_MAX} are kept; keep the data elsewhere, and its id here"
            ),
        ));
    }
    timer.due.by(now).ok_or_else(|| too_far(&timer.key, &timer.name))
}

fn too_far(key: &str, name: &str) -> Error {
    refused(
        key,
        name,
        "it would be due in more than a hundred years; check the time's unit and century".into(),
    )
}

fn refused(key: &str, name: &str, reason: String) -> Error {
    Error::Timer { name: name.to_owned(), key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_passed_is_now_and_one_in_a_thousand_years_is_none() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let at = |text: &str| Due::At(text.parse().unwrap()).by(now).map(|at| at.to_string());
        assert_eq!(at("1999-01-01T00:00:00Z").as_deref(), Some("2026-11-29T12:00:00Z"));
        assert_eq!(at("2026-11-29T12:00:00.000000001Z").as_deref(), Some("2026-11-29T12:00:00.000001Z"));
        assert_eq!(at("3026-11-29T12:00:00Z"), None);
        assert_eq!(Due::After(Duration::MAX).by(now), None);
        assert_eq!(Due::After(Duration::from_secs(90)).by(now), "2026-11-29T12:01:30Z".parse().ok());
    }
}
