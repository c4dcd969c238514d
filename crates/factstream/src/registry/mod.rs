//! Who handles what: each handler has a row in `fs_handlers` that names the build which runs it, and a generation.
//!
//! Invariants: every mark of a handler (checkpoint, inbox, offsets, letters) is written under the generation that its process
//! found, in a transaction that fails when the row has another one by then (G6, G10). A process whose build is not the
//! registered one stands by and writes nothing. A build that was never seen before takes over at once; one that comes back
//! (a rollback, or a process of the old release that is started again) takes over when no process of the registered build
//! lives any more, so two releases never take a handler from each other in turns.
//!
//! `build` describes a handler as the code declares it, `step` compares that with the row, and `register` writes what follows.

mod build;
pub(crate) mod register;
mod step;

pub(crate) use build::{Build, told};
pub(crate) use register::{finish, lock, refuse_foreign_tables};
pub(crate) use step::{Step, UNNAMED, step};

use crate::error::Error;
use crate::leases::Runs;
use crate::processor::checkpoint;
use crate::processor::claim::{self, Claim};
use crate::processor::layout::Layouts;
use crate::statements as sql;
use crate::tx::Tx;
use factstream_core::params;
use factstream_core::sabotage::{Sabotage, is_on};
use factstream_core::sql::Row;
use factstream_core::store::Store;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A handler as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Registered {
    /// Its name.
    pub handler: String,
    /// `read_model`, `projection`, `consumer` or `process`.
    pub kind: String,
    /// The service that runs it.
    pub service: String,
    /// How often a build, another division into shards or a rebuild has taken it over; from 1.
    pub generation: i64,
    /// The digest of everything about it that must be the same in two processes that run it.
    pub build: String,
    /// The event types that it handles, and the topic of each; no topic where it reads the log.
    pub event_types: BTreeMap<String, Option<String>>,
    /// The topics that it reads: those of its event types, and those that one of them had in an earlier release.
    pub topics: BTreeSet<String>,
    /// Into how many parts it is split.
    pub shards: u32,
    /// Since when this generation runs.
    pub registered_at: Timestamp,
    #[serde(skip)]
    shape: String,
    #[serde(skip)]
    marks_inbox: bool,
}

impl Registered {
    /// What a process has to run to work on it.
    pub(crate) fn runs(&self) -> Runs {
        let Self { handler, build, marks_inbox, .. } = self;
        Runs { handler: handler.clone(), build: build.clone(), marks_inbox: *marks_inbox }
    }

    fn of_row(row: &Row) -> Result<Self, Error> {
        let json = |column: &'static str| -> Result<String, Error> { Ok(row.get(column)?) };
        let damaged = |source| Error::Encode { what: "a row of fs_handlers".into(), source };
        Ok(Self {
            handler: row.get("handler")?,
            kind: row.get("kind")?,
            service: row.get("service")?,
            generation: row.get("generation")?,
            build: row.get("build")?,
            event_types: serde_json::from_str(&json("event_types")?).map_err(damaged)?,
            topics: serde_json::from_str(&json("topics")?).map_err(damaged)?,
            shards: row.get("shards")?,
            registered_at: row.get("registered_at")?,
            shape: row.get("shape")?,
            marks_inbox: row.get("marks_inbox")?,
        })
    }
}

/// Whether this process may run a handler.
#[derive(Debug)]
pub(crate) enum Look {
    Current(Claim),
    /// Another build runs it.
    Outdated(Box<Registered>),
}

/// Every handler that the store knows, by name.
pub(crate) async fn all(store: &dyn Store) -> Result<Vec<Registered>, Error> {
    let rows = store.query("SELECT * FROM fs_handlers ORDER BY handler", params![]).await?;
    rows.iter().map(Registered::of_row).collect()
}

/// A handler as the store has it.
pub(crate) async fn find(store: &dyn Store, handler: &str) -> Result<Option<Registered>, Error> {
    let rows = store.query(sql::SELECT_HANDLER, params![handler]).await?;
    rows.first().map(Registered::of_row).transpose()
}

/// A handler's row, locked: nobody takes it over until the end of the transaction.
pub(crate) async fn lock_found(tx: &mut Tx, handler: &str) -> Result<Registered, Error> {
    claim::hold(tx, handler).await?;
    let rows = tx.query(sql::SELECT_HANDLER, params![handler]).await?;
    let found = rows.first().map(Registered::of_row).transpose()?;
    found.ok_or_else(|| Error::Superseded { handler: handler.to_owned() })
}

/// Whether this build is the one that runs the handler.
pub(crate) async fn look(store: &dyn Store, build: &Build) -> Result<Look, Error> {
    let Some(found) = find(store, &build.handler).await? else {
        return Err(Error::Superseded { handler: build.handler.clone() });
    };
    if matches!(step(Some(&found), build), Step::None | Step::Rename) || is_on(Sabotage::GenerationFenceOff) {
        let layouts = match build.reads_log {
            true => checkpoint::layouts(store, &build.handler).await?,
            false => Layouts::default(),
        };
        let runs = found.runs();
        let Registered { generation, marks_inbox, topics, .. } = found;
        return Ok(Look::Current(Claim {
            runs,
            generation,
            marks_inbox,
            topics: topics.into_iter().collect(),
            layouts,
        }));
    }
    Ok(Look::Outdated(Box::new(found)))
}
