//! What happened to a letter, a page at a time. Invariant: an answer is bounded in entries and in bytes, whatever was tried and edited
//! over the years (G13).

use super::{DeadLetters, unknown};
use crate::error::Error;
use crate::statements as sql;
use factstream_core::params;
use factstream_core::sql::Row;
use jiff::Timestamp;
use serde::Serialize;

/// Entries of one page.
pub const HISTORY_MAX: usize = 100;
/// About how many bytes of details one page has, but for its newest entry.
const BYTES_MAX: usize = 1024 * 1024;

/// One attempt or action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Its number in the letter's history, from 1. Of very many attempts those in the middle are left out.
    pub entry: u64,
    /// When.
    pub at: Timestamp,
    /// `attempt`, `redrive`, `edit`, `discard` or `handled`.
    pub action: String,
    /// What there is to know: the error chain of an attempt, the value before an edit, the reason of a discard.
    pub detail: serde_json::Value,
}

impl DeadLetters<'_> {
    /// What happened to a letter before one of its entries, or up to now: the newest of it, at most [`HISTORY_MAX`] entries and about a
    /// megabyte, in order. Empty when there is nothing before.
    ///
    /// ```no_run
    /// # async fn example(app: &factstream::App) -> Result<(), factstream::Error> {
    /// let (letters, mut before) = (app.dead_letters(), None);
    /// loop {
    ///     let page = letters.history(7, before).await?;
    ///     let Some(oldest) = page.first() else { break };
    ///     println!("{} entries up to {}", page.len(), oldest.at);
    ///     before = Some(oldest.entry);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DeadLetter`] when there is no letter of this id.
    pub async fn history(&self, id: u64, before: Option<u64>) -> Result<Vec<Entry>, Error> {
        let store = self.app.store();
        let before = before.unwrap_or(i64::MAX as u64);
        let rows = store.query(sql::SELECT_HISTORY, params![id, before, HISTORY_MAX, BYTES_MAX]).await?;
        if rows.is_empty() {
            let letter = store.query("SELECT 1 FROM fs_dead_letters WHERE id = $1", params![id]).await?;
            letter.first().ok_or_else(|| unknown(id))?;
        }
        rows.iter().rev().map(entry).collect()
    }
}

fn entry(row: &Row) -> Result<Entry, Error> {
    let detail: String = row.get("detail")?;
    let detail = serde_json::from_str(&detail)
        .map_err(|source| Error::Encode { what: "the history of a dead letter".into(), source })?;
    Ok(Entry { entry: row.get("entry")?, at: row.get("at")?, action: row.get("action")?, detail })
}
