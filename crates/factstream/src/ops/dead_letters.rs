//! Dead letters in a person's hands: list, show, redrive, edit, discard. Everything that is done is recorded (G9).
//!
//! These work from any process on the store, running or not: they change the tables, and the process that runs the
//! handler takes it up within a fraction of a second.

mod amendments;
mod history;

pub use amendments::Amendment;
pub use history::{Entry, HISTORY_MAX};

use crate::app::App;
use crate::error::Error;
use crate::processor::amendments::{Decision, hold_off_switches, keep};
use crate::processor::letters::{self, Letter};
use crate::processor::unit;
use crate::statements as sql;
use crate::timer::{self, DueTimer, TIMERS};
use crate::tx::Tx;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use std::fmt;

/// Letters listed at once.
pub const LIST_MAX: usize = 1_000;

/// A dead letter, or an event that is being retried, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Its id, for `show`, `redrive`, `edit` and `discard`.
    pub id: u64,
    /// The handler that could not handle it.
    pub handler: String,
    /// The key that stands still behind it.
    pub key: String,
    /// `dead`, `retrying`, `waiting` (for a cause), `handled`, `discarded` or `superseded`.
    pub state: String,
    /// The event's id.
    pub event_id: String,
    /// The event's type, where it could be read.
    pub event_type: Option<String>,
    /// Its place: topic, partition and offset; or the log and the position.
    pub place: String,
    /// Why the last attempt failed; in a list the beginning of that.
    pub reason: Option<String>,
    /// Failed attempts since it last was redriven.
    pub attempts: u32,
    /// Events parked behind it.
    pub parked_behind: u64,
    /// When it is tried again, or when its wait for a cause is over.
    pub next_attempt_at: Option<Timestamp>,
    /// When it failed first.
    pub created_at: Timestamp,
}

/// All that is known of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Detail {
    /// The letter in short.
    #[serde(flatten)]
    pub summary: Summary,
    /// The record's key, as text or base64.
    pub record_key: Option<Bytes>,
    /// The value, as text or base64.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<(String, Bytes)>,
    /// The newest attempts and actions, oldest first, as [`DeadLetters::history`] gives them; it also has those before.
    pub history: Vec<Entry>,
    /// The events parked behind it, oldest first, at most [`LIST_MAX`]: id of the letter, event id, event type.
    pub parked: Vec<ParkedEvent>,
}

/// Raw bytes, shown as text where they are UTF-8.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Base64(String),
}

/// Their size: they may be personal.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{} bytes of text", text.len()),
            Self::Base64(base64) => write!(f, "{} bytes of base64", base64.len()),
        }
    }
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }
}

/// An event that waits behind another of its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ParkedEvent {
    /// Its id among the letters.
    pub id: u64,
    /// The event's id.
    pub event_id: String,
    /// The event's type.
    pub event_type: Option<String>,
}

/// The dead letters of a store.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
///
/// # app.execute("o-1", create()).await?;
/// # app.execute("o-1", ship()).await?;
/// # app.settle().await;
/// let letters = app.dead_letters();
/// for letter in letters.list(Some("mailing"), false, 0).await? {
///     assert_eq!((letter.key.as_str(), letter.reason.as_deref()), ("o-1", Some("the customer has no address")));
///     letters.redrive(letter.id).await?; // once the cause is gone: it is handled again, then what is parked behind it
/// }
/// # app.settle().await;
/// let still_dead = letters.list(None, false, 0).await?;
/// letters.discard(still_dead[0].id, "the customer has moved away").await?; // its key goes on without it
/// # Ok(())
/// # }
/// ```
pub struct DeadLetters<'a> {
    app: &'a App,
}

impl fmt::Debug for DeadLetters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("app", self.app).finish_non_exhaustive()
    }
}

impl App {
    /// The dead letters.
    pub fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters { app: self }
    }
}

impl DeadLetters<'_> {
    /// The letters that wait for a person, and with `retrying` also the events that wait for another attempt or for a cause; oldest
    /// first, after the id `after`, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(
        &self,
        handler: Option<&str>,
        retrying: bool,
        after: u64,
    ) -> Result<Vec<Summary>, Error> {
        let [retried, waiting] = if retrying { ["retrying", "waiting"] } else { ["dead", "dead"] };
        let params = params!["dead", retried, waiting, handler.map(str::to_owned), after, LIST_MAX];
        let rows = self.app.store().query(sql::SELECT_LETTERS, params).await?;
        rows.iter().map(summary).collect()
    }

    /// All that is known of one letter.
    ///
    /// # Errors
    /// [`Error::DeadLetter`] when there is none of this id.
    pub async fn show(&self, id: u64) -> Result<Detail, Error> {
        let store = self.app.store();
        let rows = store.query(sql::SELECT_LETTER_SUMMARY, params![id]).await?;
        let row = rows.first().ok_or_else(|| unknown(id))?;
        let letter = Letter::of_row(row)?;
        let history = self.history(id, None).await?;
        let sql = "SELECT id, event_id, event_type FROM fs_dead_letters \
                   WHERE handler = $1 AND event_key = $2 AND state = 'parked' ORDER BY id LIMIT $3";
        let waits = matches!(letter.state.as_str(), "dead" | "retrying" | "waiting");
        let parked = match waits {
            true => store.query(sql, params![&letter.handler, &letter.unit, LIST_MAX]).await?,
            false => Vec::new(),
        };
        Ok(Detail {
            summary: summary(row)?,
            record_key: letter.record.key.as_deref().map(Bytes::of),
            value: letter.record.value.as_deref().map(Bytes::of),
            headers: letter
                .record
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), Bytes::of(value)))
                .collect(),
            history,
            parked: parked.iter().map(parked_event).collect::<Result<_, _>>()?,
        })
    }

    /// Has a dead letter handled again, and then what is parked behind it, in order. It is done by the process that runs
    /// the handler, now or when it starts.
    ///
    /// # Errors
    /// [`Error::DeadLetter`] when there is none of this id, or it is not dead.
    pub async fn redrive(&self, id: u64) -> Result<(), Error> {
        let mut tx = self.app.begin().await?;
        let letter = waiting_letter(&mut tx, id).await?;
        set_going(&mut tx, &letter).await?;
        letters::add_history(&mut tx, id, "redrive", &json!({})).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Redrives every dead letter, of one handler or of all; how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn redrive_all(&self, handler: Option<&str>) -> Result<u64, Error> {
        let (mut redriven, mut after) = (0, 0);
        loop {
            let letters = self.list(handler, false, after).await?;
            let Some(last) = letters.last() else { return Ok(redriven) };
            after = last.id;
            for letter in letters {
                match self.redrive(letter.id).await {
                    Ok(()) => redriven += 1,
                    Err(Error::DeadLetter { .. }) => {} // somebody else was faster
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Replaces a dead letter's value and redrives it. The value before is recorded. Of a projection, every rebuild reads the event
    /// with the new value, until a later decision about it.
    ///
    /// # Errors
    /// [`Error::DeadLetter`] when there is none of this id, it is not dead, or `data` is not one JSON object.
    pub async fn edit(&self, id: u64, data: &str) -> Result<(), Error> {
        if let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(data) {
            return Err(Error::DeadLetter {
                id,
                reason: format!("the new data must be one JSON object ({error})"),
            });
        }
        let mut tx = self.app.begin().await?;
        hold_off_switches(&mut tx, id).await?;
        let letter = waiting_letter(&mut tx, id).await?;
        keep(&mut tx, &letter, Decision::Edit(data)).await?;
        let before = letter.record.value.as_deref().map(Bytes::of);
        let sql = "UPDATE fs_dead_letters SET value = $2 WHERE id = $1";
        tx.sql(sql, params![id, data.as_bytes()]).await?;
        set_going(&mut tx, &letter).await?;
        letters::add_history(&mut tx, id, "edit", &json!({ "before": before })).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives a dead letter up: what is parked behind it goes on without it. The letter stays on record. Of a projection, every
    /// rebuild leaves the event out, too, until that is [withdrawn](Self::withdraw).
    ///
    /// # Errors
    /// [`Error::DeadLetter`] when there is none of this id, it is not dead, or no reason is given.
    pub async fn discard(&self, id: u64, reason: &str) -> Result<(), Error> {
        if reason.trim().is_empty() {
            return Err(Error::DeadLetter { id, reason: "say why it is discarded".into() });
        }
        let mut tx = self.app.begin().await?;
        hold_off_switches(&mut tx, id).await?;
        let letter = waiting_letter(&mut tx, id).await?;
        keep(&mut tx, &letter, Decision::Discard).await?;
        if let Some(timer) = DueTimer::of_record(&letter.record) {
            timer::take(&mut tx, &letter.handler, &[&timer]).await?;
        }
        letters::advance(&mut tx, &Letter { died: true, ..letter }, "discarded").await?;
        letters::add_history(&mut tx, id, "discard", &json!({ "reason": reason })).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// The letter, if it is the head of its key. Locks the key.
async fn waiting_letter(tx: &mut Tx, id: u64) -> Result<Letter, Error> {
    let sql = "UPDATE fs_blocked_keys SET parked = parked WHERE head_id = $1";
    let locked = tx.sql(sql, params![id]).await?;
    let rows = tx.query(letters::SELECT_LETTER, params![id]).await?;
    let letter = Letter::of_row(rows.first().ok_or_else(|| unknown(id))?)?;
    if locked == 0 {
        let reason = match letter.state.as_str() {
            "parked" => {
                "it only waits behind another event of its key; redrive or discard that one".to_owned()
            }
            state => format!("it is {state} already"),
        };
        return Err(Error::DeadLetter { id, reason });
    }
    Ok(letter)
}

/// A new set of attempts, the first one now.
async fn set_going(tx: &mut Tx, letter: &Letter) -> Result<(), Error> {
    let now = tx.kernel().clock.now();
    let sql = "UPDATE fs_dead_letters SET state = 'retrying', attempts = 0, updated_at = $2 WHERE id = $1";
    tx.sql(sql, params![letter.id, now]).await?;
    let sql = "UPDATE fs_blocked_keys SET next_attempt_at = $2, waits_for = NULL WHERE head_id = $1";
    tx.sql(sql, params![letter.id, now]).await?;
    Ok(())
}

fn unknown(id: u64) -> Error {
    Error::DeadLetter { id, reason: "there is none of this id; list them to see the ids".into() }
}

fn summary(row: &Row) -> Result<Summary, Error> {
    let (topic, partition): (String, u32) = (row.get("topic")?, row.get("partition")?);
    let offset: i64 = row.get("record_offset")?;
    let place = match topic.as_str() {
        crate::processor::delivery::LOG => format!("log, position {offset}"),
        TIMERS => "timer".to_owned(),
        _ => format!("{topic}, partition {partition}, offset {offset}"),
    };
    let unit: String = row.get("event_key")?;
    let key = unit::shown(&unit, &topic).to_owned();
    Ok(Summary {
        id: row.get("id")?,
        handler: row.get("handler")?,
        key,
        state: row.get("state")?,
        event_id: row.get("event_id")?,
        event_type: row.get("event_type")?,
        place,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        parked_behind: row.get("parked_behind")?,
        next_attempt_at: row.get("next_attempt_at")?,
        created_at: row.get("created_at")?,
    })
}

fn parked_event(row: &Row) -> Result<ParkedEvent, Error> {
    Ok(ParkedEvent { id: row.get("id")?, event_id: row.get("event_id")?, event_type: row.get("event_type")? })
}
