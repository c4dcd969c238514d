//! The instances that a batch touches: loaded at once, changed in memory, written at once.
//!
//! Invariant: an instance is written only if it is as it was read, so no reaction is lost to another one.

use super::acts::Act;
use super::traits::Process;
use crate::error::Error;
use crate::handler::Failure;
use crate::statements as sql;
use crate::tasks::panic_text;
use crate::tx::{Rows, TableNames, Tx};
use factstream_core::decode::ContentError;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::{Params, Row, placeholders};
use factstream_core::store::{StoreError, TableRows};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Instances that are loaded by one query.
const IDS_PER_QUERY: usize = 500;
/// Bytes of JSON that a state may have.
pub(super) const STATE_BYTES_MAX: usize = 1024 * 1024;

/// What an instance that has ended is called in the table.
pub(super) const ENDED: &str = "ended";
const RUNNING: &str = "running";

/// The instances of a batch.
pub(super) struct Instances<P> {
    by_id: BTreeMap<String, Slot<P>>,
    history: Vec<Params>,
}

enum Slot<P> {
    Missing,
    /// As it lies in the table: read when its first input comes, so that what is wrong with it is that input's failure.
    Stored(Row),
    Open(Open<P>),
}

/// An instance at work.
pub(super) struct Open<P> {
    pub(super) state: P,
    /// How many inputs it has taken.
    pub(super) version: u64,
    /// The newest event that it has taken.
    pub(super) position: Position,
    pub(super) ended: bool,
    /// Timers that it has set or cancelled in this batch: one of these names that is due in the same batch was read before that.
    pub(super) retimed: BTreeSet<String>,
    /// How many inputs it had taken when it was read; `None` for a new one.
    read_at: Option<u64>,
}

/// What is kept of an input that was taken.
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) input_id: String,
    /// The position of an event.
    pub(super) position: Option<Position>,
    pub(super) input: Option<String>,
    pub(super) at: Timestamp,
}

impl<P: Process> Instances<P> {
    pub(super) async fn load(ids: &BTreeSet<&str>, tx: &mut Tx) -> Result<Self, Failure> {
        let mut by_id: BTreeMap<String, Slot<P>> =
            ids.iter().map(|id| ((*id).to_owned(), Slot::Missing)).collect();
        let ids: Vec<&str> = ids.iter().copied().collect();
        for part in ids.chunks(IDS_PER_QUERY) {
            let list = placeholders(2, part.len());
            let sql = format!(
                "SELECT process_id, status, state, state_version, version, position FROM fs_processes \
                 WHERE process = $1 AND process_id IN ({list})"
            );
            let mut params = params![P::NAME];
            params.extend(part.iter().map(|id| (*id).into()));
            for row in tx.query(&sql, params).await? {
                by_id.insert(row.get("process_id")?, Slot::Stored(row));
            }
        }
        Ok(Self { by_id, history: Vec::new() })
    }

    /// The instance, where there is one, ended or not. With `starts` there is one from now on.
    pub(super) fn open(&mut self, id: &str, starts: bool) -> Result<Option<&mut Open<P>>, Failure> {
        let slot = self.by_id.entry(id.to_owned()).or_insert(Slot::Missing);
        match slot {
            Slot::Missing if starts => {
                let state = P::default();
                *slot = Slot::Open(Open {
                    state,
                    version: 0,
                    position: 0,
                    ended: false,
                    retimed: BTreeSet::new(),
                    read_at: None,
                });
            }
            Slot::Stored(row) => {
                let version = row.get("version")?;
                *slot = Slot::Open(Open {
                    state: state_of(row.get("state_version")?, &row.get::<String>("state")?)?,
                    version,
                    position: row.get("position")?,
                    ended: row.get::<String>("status")? == ENDED,
                    retimed: BTreeSet::new(),
                    read_at: Some(version),
                });
            }
            Slot::Missing | Slot::Open(_) => {}
        }
        Ok(match slot {
            Slot::Open(open) => Some(open),
            Slot::Missing | Slot::Stored(_) => None,
        })
    }

    /// Keeps an input that the instance has taken, and what it asked for then.
    pub(super) fn note(&mut self, id: &str, entry: Entry, acts: Vec<Act>) -> Result<(), Failure> {
        let Some(Slot::Open(open)) = self.by_id.get_mut(id) else { return Ok(()) };
        open.version += 1;
        let acts: Vec<Act> = acts.into_iter().map(Act::shortened).collect();
        let acts = serde_json::to_string(&acts).map_err(Failure::permanent)?;
        self.history.push(params![
            P::NAME,
            id,
            open.version,
            entry.kind,
            entry.input_id,
            entry.position.unwrap_or(open.position),
            entry.input,
            acts,
            entry.at
        ]);
        Ok(())
    }

    /// Writes what has changed.
    pub(super) async fn save(self, now: Timestamp, tx: &mut Tx) -> Result<(), Failure> {
        let (mut begun, mut changed) = (Vec::new(), Vec::new());
        for (id, slot) in self.by_id {
            let Slot::Open(open) = slot else { continue };
            if open.read_at.unwrap_or(0) == open.version {
                continue;
            }
            let json = json_of(&open.state)?;
            let (status, ended_at) = if open.ended { (ENDED, Some(now)) } else { (RUNNING, None) };
            let mut row =
                params![P::NAME, id, status, json, P::VERSION, open.version, open.position, now, ended_at];
            match open.read_at {
                None => {
                    row.extend(params![now]);
                    begun.push(row);
                }
                Some(read_at) => {
                    row.extend(params![read_at]);
                    changed.push(row);
                }
            }
        }
        let written = Written { begun, changed, history: self.history };
        if is_on(Sabotage::ProcessStateOutside) {
            written.write_outside::<P>(tx);
            return Ok(());
        }
        written.write::<P>(tx).await?;
        if is_on(Sabotage::EndedForgotten) {
            let sql = "DELETE FROM fs_processes WHERE process = $1 AND status = $2";
            tx.sql(sql, params![P::NAME, ENDED]).await?;
        }
        Ok(())
    }
}

/// The rows of a batch.
struct Written {
    begun: Vec<Params>,
    changed: Vec<Params>,
    history: Vec<Params>,
}

impl Written {
    async fn write<P: Process>(self, rows: &mut Rows) -> Result<(), Failure> {
        if !self.begun.is_empty() {
            rows.write_rows(instance_rows(self.begun)).await.map_err(|error| {
                match error.is_unique_violation() {
                    true => changed_meanwhile::<P>(),
                    false => error.into(),
                }
            })?;
        }
        let changed = self.changed;
        if !changed.is_empty() && rows.sql_many(sql::UPDATE_PROCESS_INSTANCE, changed).await?.contains(&0) {
            return Err(changed_meanwhile::<P>());
        }
        if !self.history.is_empty() {
            rows.write_rows(history_rows(self.history)).await?;
        }
        Ok(())
    }

    /// A sabotage: in a task of its own, for SQLite has the second transaction wait until the batch's is over, however that ends.
    fn write_outside<P: Process>(self, tx: &Tx) {
        let store = Arc::clone(&tx.kernel().store);
        tokio::spawn(async move {
            let mut rows = Rows::new(store.begin().await?, TableNames::Live);
            self.write::<P>(&mut rows).await?;
            rows.into_inner().commit(Vec::new()).await?;
            Ok::<(), Failure>(())
        });
    }
}

/// Another owner has begun or changed an instance that this batch works on.
fn changed_meanwhile<P: Process>() -> Failure {
    Failure::transient(StoreError::Contention(format!("an instance of {} was changed meanwhile", P::NAME)))
}

/// Rows of instances that begin.
fn instance_rows(rows: Vec<Params>) -> TableRows {
    let columns = [
        "process",
        "process_id",
        "status",
        "state",
        "state_version",
        "version",
        "position",
        "updated_at",
        "ended_at",
        "started_at",
    ];
    TableRows {
        table: "fs_processes".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows,
        replace_by: Vec::new(),
    }
}

/// Rows of the history.
pub(super) fn history_rows(rows: Vec<Params>) -> TableRows {
    let columns = ["process", "process_id", "version", "kind", "input_id", "position", "input", "acts", "at"];
    TableRows {
        table: "fs_process_history".to_owned(),
        columns: columns.map(str::to_owned).into(),
        rows,
        replace_by: Vec::new(),
    }
}

/// A state as it is stored.
///
/// # Errors
/// When it cannot be written, or is too large, or would not be read again.
pub(super) fn json_of<P: Process>(state: &P) -> Result<String, Failure> {
    let cannot = |error: serde_json::Error| {
        let reason = ContentError::from(error);
        Failure::permanent(format!("the state of {} cannot be kept: {reason}", P::NAME))
    };
    let json = serde_json::to_string(state).map_err(cannot)?;
    if json.len() > STATE_BYTES_MAX {
        return Err(Failure::permanent(format!(
            "the state of {} has {} bytes of JSON; it can have {STATE_BYTES_MAX}: keep what is large in an aggregate or a table, and \
             its id in the state",
            P::NAME,
            json.len()
        )));
    }
    serde_json::from_str::<P>(&json).map_err(|error| {
        let reason = ContentError::from(error);
        Failure::permanent(format!(
            "the state of {} cannot be read back from its own JSON ({reason}); nothing was stored. Give its type serde attributes \
             that read what they write",
            P::NAME
        ))
    })?;
    Ok(json)
}

/// A stored state, in the shape of this build.
///
/// # Errors
/// When a newer build wrote it, or it does not fit.
pub(super) fn state_of<P: Process>(version: u32, json: &str) -> Result<P, Failure> {
    if version > P::VERSION {
        return Err(Failure::permanent(format!(
            "a newer build has written the state: it is of version {version}, and this build of {} has version {}. Start the newer \
             build again, then redrive this letter",
            P::NAME,
            P::VERSION
        )));
    }
    let does_not_fit = |error: serde_json::Error| {
        let reason = ContentError::from(error);
        Failure::permanent(format!(
            "the stored state of {} (version {version}) does not fit its struct: {reason}; raise VERSION and write Process::upcast",
            P::NAME
        ))
    };
    if version == P::VERSION {
        return serde_json::from_str(json).map_err(does_not_fit);
    }
    let mut state: serde_json::Value = serde_json::from_str(json).map_err(does_not_fit)?;
    for from in version..P::VERSION {
        let lifted = catch_unwind(AssertUnwindSafe(|| P::upcast(from, state)));
        state = lifted.unwrap_or_else(|panic| {
            Err(Failure::permanent(format!("Process::upcast panicked: {}", panic_text(&*panic))))
        })?;
    }
    serde_json::from_value(state).map_err(does_not_fit)
}

/// An error about one instance, for whoever asks about it.
pub(super) fn error<P: Process>(id: &str, reason: impl Into<String>) -> Error {
    Error::Process { process: P::NAME, id: id.to_owned(), reason: reason.into() }
}

/// The same, of a failure.
pub(super) fn error_of<P: Process>(id: &str, failure: &Failure) -> Error {
    error::<P>(id, failure.chain().join(": "))
}
