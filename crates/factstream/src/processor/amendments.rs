//! What people decided about single events of a projection when these were dead letters: discarded, or edited. It is kept for every time
//! that the log is read again, so that a rebuild ends in the rows that the live projection has (G10).
//!
//! Invariant: a decision, and what is done with its letter, commit together, under the lock of the handler's row that the switch of a
//! rebuild takes first. So a rebuild that switches has heard of every decision, or begins again.

use crate::error::Error;
use crate::kernel::names::RELAY;
use crate::processor::claim;
use crate::processor::delivery::LOG;
use crate::processor::letters::Letter;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::envelope::{Position, RecordedEvent};
use factstream_core::params;
use factstream_core::sql::{Row, now};
use factstream_core::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was decided about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    Discard,
    /// It is read with this data.
    Edit(&'a str),
}

/// The decisions about events of one projection.
pub(crate) struct Amendments {
    store: Arc<dyn Store>,
    handler: String,
    /// What is done, and when that was decided. Data is asked for when its event comes: there may be much of it.
    decided: BTreeMap<Position, (String, String)>,
}

const SELECT: &str =
    "SELECT position, action, decided_at FROM fs_amendments WHERE handler = $1 AND position > $2";

impl Amendments {
    /// Those about events after a position.
    pub(crate) async fn load(store: &Arc<dyn Store>, handler: &str, after: Position) -> Result<Self, Error> {
        let decided = of_rows(&store.query(SELECT, params![handler, after]).await?)?;
        Ok(Self { store: Arc::clone(store), handler: handler.to_owned(), decided })
    }

    /// None, whatever was decided.
    pub(crate) fn none(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::clone(store), handler: String::new(), decided: BTreeMap::new() }
    }

    /// The events as they are to be handled: without those that were discarded, and with the data that others were given.
    pub(crate) async fn apply(&self, mut events: Vec<RecordedEvent>) -> Result<Vec<RecordedEvent>, Error> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(events) };
        let mut edited = BTreeMap::new();
        let mut concerns = false;
        for (position, (action, _)) in self.decided.range(first.position..=last.position) {
            concerns = true;
            if action == "edit" {
                edited.insert(*position, self.data(*position).await?);
            }
        }
        if !concerns {
            return Ok(events);
        }
        events.retain_mut(|event| {
            match (edited.remove(&event.position).flatten(), self.decided.get(&event.position)) {
                (Some(data), _) => {
                    event.data = data;
                    true
                }
                (None, Some((action, _))) => action != "discard",
                (None, None) => true,
            }
        });
        Ok(events)
    }

    async fn data(&self, position: Position) -> Result<Option<String>, Error> {
        let sql = "SELECT data FROM fs_amendments WHERE handler = $1 AND position = $2";
        let rows = self.store.query(sql, params![&self.handler, position]).await?;
        let data: Option<Vec<u8>> = rows.first().map(|row| row.get("data")).transpose()?.flatten();
        Ok(data.map(|data| String::from_utf8_lossy(&data).into_owned()))
    }

    /// Whether nothing else was decided since they were loaded.
    pub(crate) async fn are_all(&self, tx: &mut Tx) -> Result<bool, Error> {
        Ok(of_rows(&tx.query(SELECT, params![&self.handler, 0]).await?)? == self.decided)
    }
}

fn of_rows(rows: &[Row]) -> Result<BTreeMap<Position, (String, String)>, Error> {
    let of_row = |row: &Row| Ok((row.get("position")?, (row.get("action")?, row.get("decided_at")?)));
    rows.iter().map(of_row).collect()
}

/// Comes first in a transaction that decides about a letter: no rebuild of its handler switches before the end of it.
pub(crate) async fn hold_off_switches(tx: &mut Tx, letter: u64) -> Result<(), Error> {
    let rows = tx.query("SELECT handler FROM fs_dead_letters WHERE id = $1", params![letter]).await?;
    match rows.first() {
        Some(row) => claim::hold(tx, &row.get::<String>("handler")?).await,
        None => Ok(()),
    }
}

/// Keeps a decision about the event of a letter, where that may be read again: the log is, by projections.
pub(crate) async fn keep(tx: &mut Tx, letter: &Letter, decision: Decision<'_>) -> Result<(), Error> {
    if letter.record.partition.topic != LOG || letter.handler == RELAY {
        return Ok(());
    }
    let (action, data) = match decision {
        Decision::Discard => ("discard", None),
        Decision::Edit(data) => ("edit", Some(data.as_bytes().to_vec())),
    };
    tx.sql(sql::AMEND, params![&letter.handler, letter.record.offset, action, data, now()]).await?;
    Ok(())
}

/// What was decided about the letters of a rebuild goes on under the handler's name.
pub(crate) async fn hand_over(tx: &mut Tx, handler: &str, rebuild: &str) -> Result<(), Error> {
    tx.sql(sql::TAKE_AMENDMENTS_OVER, params![handler, rebuild]).await?;
    tx.sql("UPDATE fs_amendments SET handler = $1 WHERE handler = $2", params![handler, rebuild]).await?;
    Ok(())
}
