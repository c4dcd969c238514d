//! Events that wait: held after a failure, parked behind one, retried, dead; or for a cause of theirs. One mechanism for all of it (G8, G9).
//!
//! A key (within its topic, where there is causal order: [`unit`](super::unit)) is blocked while it has a row in `fs_blocked_keys`; its head
//! is the event that failed. Behind it, events of the key are parked in order. Handling (or discarding) the head makes the next parked event the head; with none left
//! the row goes and the key flows again. Retries therefore survive a restart, and never hold up another key.

use crate::error::Error;
use crate::handler::{Failure, Retry};
use crate::processor::delivery::{Delivery, LOG};
use crate::processor::fault::is_contention;
use crate::processor::unit;
use crate::timer::TIMERS;
use crate::tx::Tx;
use crate::{headers, statements as sql};
use factstream_core::broker::Partition;
use factstream_core::message::Record;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde_json::json;

/// Entries that a letter's history keeps from its beginning and from its end; of attempts in the middle none are kept (G13).
const FIRST_ENTRIES: u32 = 100;
const LAST_ENTRIES: u32 = 900;

/// What became of a failing event.
pub(crate) enum Disposition {
    /// Failed so many times; the next attempt is planned.
    Retrying {
        at: Timestamp,
        attempts: u32,
    },
    Dead {
        attempts: u32,
    },
    Parked,
}

/// Parks an event behind its blocked key; `false` when the key flows again and the event is to be handled.
pub(crate) async fn park(tx: &mut Tx, handler: &str, delivery: &Delivery) -> Result<bool, Error> {
    for unit in delivery.units() {
        if tx.sql(sql::PARK_BEHIND, params![handler, &*unit]).await? > 0 {
            let id = next_id(tx).await?;
            let entry = Entry { unit: &unit, state: "parked", reason: None, attempts: 0, died: false };
            insert(tx, id, handler, delivery, &entry).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has an event wait for a cause of it, at most until then: its unit is blocked, or it is parked behind what blocks it.
pub(crate) async fn wait(
    tx: &mut Tx,
    handler: &str,
    unit: &str,
    delivery: &Delivery,
    cause: &str,
    until: Timestamp,
) -> Result<(), Error> {
    if park(tx, handler, delivery).await? {
        return Ok(());
    }
    let id = next_id(tx).await?;
    let entry = Entry { unit, state: "waiting", reason: Some(waits_for(cause)), attempts: 0, died: false };
    insert(tx, id, handler, delivery, &entry).await?;
    tx.sql(sql::BLOCK_KEY, params![handler, unit, id, until, cause]).await?;
    Ok(())
}

/// Has the head of a key wait for a cause of it.
pub(crate) async fn wait_on(
    tx: &mut Tx,
    letter: &Letter,
    cause: &str,
    until: Timestamp,
) -> Result<(), Error> {
    let sql = "UPDATE fs_dead_letters SET state = 'waiting', reason = $2, updated_at = $3 WHERE id = $1";
    let now = now(tx);
    tx.sql(sql, params![letter.id, waits_for(cause), now]).await?;
    let sql = "UPDATE fs_blocked_keys SET next_attempt_at = $3, waits_for = $4 WHERE handler = $1 AND event_key = $2";
    tx.sql(sql, params![&letter.handler, &letter.unit, until, cause]).await?;
    Ok(())
}

/// Makes a dead letter of an event that has waited long enough. That is no attempt.
pub(crate) async fn die_late(tx: &mut Tx, letter: &Letter, reason: &str) -> Result<(), Error> {
    let sql =
        "UPDATE fs_dead_letters SET state = 'dead', reason = $2, died = $3, updated_at = $4 WHERE id = $1";
    let now = now(tx);
    tx.sql(sql, params![letter.id, reason, true, now]).await?;
    let sql = "UPDATE fs_blocked_keys SET next_attempt_at = NULL, waits_for = NULL WHERE handler = $1 AND event_key = $2";
    tx.sql(sql, params![&letter.handler, &letter.unit]).await?;
    add_history(tx, letter.id, "late", &json!({ "reason": reason })).await?;
    mirror(tx, letter.id, &letter.record.partition.topic).await
}

fn waits_for(cause: &str) -> String {
    format!("waits for its cause {cause}")
}

/// Holds a failing event: its unit is blocked until it is handled or discarded.
pub(crate) async fn hold(
    tx: &mut Tx,
    handler: &str,
    unit: &str,
    delivery: &Delivery,
    failure: &Failure,
    retry: &Retry,
) -> Result<Disposition, Error> {
    if park(tx, handler, delivery).await? {
        return Ok(Disposition::Parked);
    }
    let id = next_id(tx).await?;
    let attempts = counted(failure);
    let next = next_attempt(now(tx), failure, attempts, retry);
    let state = if next.is_some() { "retrying" } else { "dead" };
    let reason = Some(failure.chain().join(": "));
    let entry = Entry { unit, state, reason, attempts, died: next.is_none() };
    insert(tx, id, handler, delivery, &entry).await?;
    tx.sql(sql::BLOCK_KEY, params![handler, unit, id, next, None::<String>]).await?;
    record_attempt(tx, id, attempts, failure).await?;
    if next.is_none() {
        mirror(tx, id, delivery.topic()).await?;
    }
    Ok(next.map_or(Disposition::Dead { attempts }, |at| Disposition::Retrying { at, attempts }))
}

/// Records one more failed attempt at the head of a key.
pub(crate) async fn fail_again(
    tx: &mut Tx,
    letter: &Letter,
    failure: &Failure,
    retry: &Retry,
) -> Result<Disposition, Error> {
    let attempts = letter.attempts + counted(failure);
    let next = next_attempt(now(tx), failure, attempts, retry);
    let state = if next.is_some() { "retrying" } else { "dead" };
    let sql = "UPDATE fs_dead_letters SET state = $2, reason = $3, attempts = $4, died = $5, updated_at = $6 WHERE id = $1";
    let died = letter.died || next.is_none();
    let reason = failure.chain().join(": ");
    let now = now(tx);
    tx.sql(sql, params![letter.id, state, reason, attempts, died, now]).await?;
    let sql = "UPDATE fs_blocked_keys SET next_attempt_at = $3, waits_for = NULL WHERE handler = $1 AND event_key = $2";
    tx.sql(sql, params![&letter.handler, &letter.unit, next]).await?;
    record_attempt(tx, letter.id, attempts, failure).await?;
    if next.is_none() {
        mirror(tx, letter.id, &letter.record.partition.topic).await?;
    }
    Ok(next.map_or(Disposition::Dead { attempts }, |at| Disposition::Retrying { at, attempts }))
}

/// The head of a key is done with: the next parked event becomes the head, or the key flows again.
///
/// A letter that was dead once stays on record as `state`; one that only waited for a retry leaves nothing behind.
pub(crate) async fn advance(tx: &mut Tx, letter: &Letter, state: &str) -> Result<Option<u64>, Error> {
    let now = now(tx);
    if letter.died {
        let sql = "UPDATE fs_dead_letters SET state = $2, updated_at = $3 WHERE id = $1";
        tx.sql(sql, params![letter.id, state, now]).await?;
        if state == "handled" {
            add_history(tx, letter.id, "handled", &json!({})).await?;
        }
    } else {
        tx.sql("DELETE FROM fs_dead_letter_history WHERE letter_id = $1", params![letter.id]).await?;
        tx.sql("DELETE FROM fs_dead_letters WHERE id = $1", params![letter.id]).await?;
    }
    let release = sql::RELEASE_WAITING.replace("{ids}", "$3");
    tx.sql(&release, params![&letter.handler, now, &letter.identity]).await?;
    let next = tx.query(sql::SELECT_NEXT_PARKED, params![&letter.handler, &letter.unit]).await?;
    let Some(next) = next.first() else {
        let sql = "DELETE FROM fs_blocked_keys WHERE handler = $1 AND event_key = $2";
        tx.sql(sql, params![&letter.handler, &letter.unit]).await?;
        return Ok(None);
    };
    let next: u64 = next.get("id")?;
    let sql = "UPDATE fs_dead_letters SET state = 'retrying', updated_at = $2 WHERE id = $1";
    tx.sql(sql, params![next, now]).await?;
    let sql = "UPDATE fs_blocked_keys SET head_id = $3, parked = parked - 1, next_attempt_at = $4, waits_for = NULL \
               WHERE handler = $1 AND event_key = $2";
    tx.sql(sql, params![&letter.handler, &letter.unit, next, now]).await?;
    Ok(Some(next))
}

/// Splits the queue of a key into one for each topic, so that what waits for a cause is not before it. Each begins with a new look.
pub(super) async fn split(tx: &mut Tx, letter: &Letter) -> Result<(), Error> {
    let now = tx.kernel().clock.now();
    let (handler, key) = (&letter.handler, &letter.unit);
    let topics = tx.query(sql::SELECT_TOPICS_OF_KEY, params![handler, key]).await?;
    tx.sql("DELETE FROM fs_blocked_keys WHERE handler = $1 AND event_key = $2", params![handler, key])
        .await?;
    for row in &topics {
        let (topic, head, letters): (String, u64, u64) =
            (row.get("topic")?, row.get("head")?, row.get("letters")?);
        let unit = unit::within(&topic, key);
        tx.sql(sql::MOVE_LETTERS, params![handler, key, &topic, &unit]).await?;
        let state = "UPDATE fs_dead_letters SET state = 'retrying', updated_at = $2 WHERE id = $1";
        tx.sql(state, params![head, now]).await?;
        tx.sql(sql::BLOCK_KEY, params![handler, &unit, head, now, None::<String>]).await?;
        let parked = "UPDATE fs_blocked_keys SET parked = $3 WHERE handler = $1 AND event_key = $2";
        tx.sql(parked, params![handler, &unit, letters - 1]).await?;
    }
    Ok(())
}

/// Locks the head of a key, if it still is the head and waits for an attempt.
pub(crate) async fn claim(tx: &mut Tx, letter: &Letter) -> Result<bool, Error> {
    let sql = "UPDATE fs_blocked_keys SET next_attempt_at = next_attempt_at \
               WHERE handler = $1 AND event_key = $2 AND head_id = $3 AND next_attempt_at IS NOT NULL";
    Ok(tx.sql(sql, params![&letter.handler, &letter.unit, letter.id]).await? > 0)
}

/// Records what was done to a letter.
pub(crate) async fn add_history(
    tx: &mut Tx,
    id: u64,
    action: &str,
    detail: &serde_json::Value,
) -> Result<(), Error> {
    let now = now(tx);
    tx.sql(sql::ADD_HISTORY, params![id, now, action, detail.to_string()]).await?;
    Ok(())
}

/// Has a letter that died mirrored, where that is wanted and it came from a topic.
async fn mirror(tx: &mut Tx, id: u64, topic: &str) -> Result<(), Error> {
    if tx.kernel().mirrors_dead_letters && topic != LOG && topic != TIMERS {
        let sql = "INSERT INTO fs_dead_letter_mirror (letter_id) VALUES ($1) ON CONFLICT DO NOTHING";
        tx.sql(sql, params![id]).await?;
    }
    Ok(())
}

async fn record_attempt(tx: &mut Tx, id: u64, attempt: u32, failure: &Failure) -> Result<(), Error> {
    let detail =
        json!({ "attempt": attempt, "permanent": failure.is_permanent(), "errors": failure.chain() });
    add_history(tx, id, "attempt", &detail).await?;
    tx.sql(sql::FORGET_ATTEMPTS, params![id, FIRST_ENTRIES, LAST_ENTRIES]).await?;
    Ok(())
}

/// The store's time, by which every process plans and dates.
fn now(tx: &Tx) -> Timestamp {
    tx.kernel().clock.now()
}

/// How many attempts a failure is. Other work that was in the way is none, nor is what an open circuit let through: neither ever makes
/// a dead letter.
fn counted(failure: &Failure) -> u32 {
    u32::from(!is_contention(failure) && !failure.is_probe())
}

fn next_attempt(now: Timestamp, failure: &Failure, attempts: u32, retry: &Retry) -> Option<Timestamp> {
    if failure.is_permanent() || attempts >= retry.max_attempts {
        return None;
    }
    let delay = failure.asked_wait().unwrap_or_else(|| retry.delay_with_jitter(attempts.max(1)));
    now.checked_add(delay).ok()
}

async fn next_id(tx: &mut Tx) -> Result<u64, Error> {
    let sql = "UPDATE fs_counters SET value = value + 1 WHERE name = 'dead_letter' RETURNING value";
    let rows = tx.query(sql, params![]).await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::Wiring("the table fs_counters has lost its row dead_letter".into()))?;
    Ok(row.get("value")?)
}

struct Entry<'a> {
    unit: &'a str,
    state: &'static str,
    reason: Option<String>,
    attempts: u32,
    died: bool,
}

async fn insert(
    tx: &mut Tx,
    id: u64,
    handler: &str,
    delivery: &Delivery,
    entry: &Entry<'_>,
) -> Result<(), Error> {
    let now = now(tx);
    let Record { partition, offset, key, value, headers, .. } = delivery.record();
    let headers = headers::to_json(&headers)
        .map_err(|source| Error::Encode { what: "the headers of a message".into(), source })?;
    let params = params![
        id,
        handler,
        entry.unit,
        entry.state,
        &delivery.event_id,
        delivery.event_type.clone(),
        delivery.position,
        partition.topic,
        partition.partition,
        offset,
        key,
        value,
        headers,
        delivery.timestamp,
        entry.reason.clone(),
        entry.attempts,
        entry.died,
        now,
        delivery.identity()
    ];
    tx.sql(sql::INSERT_LETTER, params).await?;
    Ok(())
}

/// A held event as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) id: u64,
    pub(crate) handler: String,
    /// What it holds up, or waits behind.
    pub(crate) unit: String,
    pub(crate) state: String,
    pub(crate) attempts: u32,
    pub(crate) died: bool,
    /// By which the event is known: the one that it was marked by, whatever the record says now.
    pub(crate) identity: String,
    /// When it became a letter.
    pub(crate) created_at: Timestamp,
    pub(crate) record: Record,
}

/// `SELECT *` of one letter. `$1` is its id.
pub(crate) const SELECT_LETTER: &str = "SELECT * FROM fs_dead_letters WHERE id = $1";

impl Letter {
    /// Whether it waits in one queue with all events of its key, as builds without causal order and early releases have it.
    pub(super) fn is_by_key_alone(&self) -> bool {
        self.unit == self.key()
    }

    /// In whose order it is handled.
    pub(crate) fn key(&self) -> &str {
        unit::key_of(&self.unit, &self.record.partition.topic)
    }

    pub(crate) fn of_row(row: &Row) -> Result<Self, Error> {
        let headers = headers::from_json(&row.get::<String>("headers")?)
            .map_err(|source| Error::Encode { what: "the headers of a dead letter".into(), source })?;
        let identity: Option<String> = row.get("identity")?;
        let partition = Partition { topic: row.get("topic")?, partition: row.get("partition")? };
        Ok(Self {
            id: row.get("id")?,
            handler: row.get("handler")?,
            unit: row.get("event_key")?,
            state: row.get("state")?,
            attempts: row.get("attempts")?,
            died: row.get("died")?,
            identity: identity.map_or_else(|| row.get("event_id"), Ok)?,
            created_at: row.get("created_at")?,
            record: Record {
                partition,
                offset: row.get("record_offset")?,
                key: row.get("record_key")?,
                value: row.get("value")?,
                headers,
                timestamp: row.get("recorded_at")?,
            },
        })
    }
}
