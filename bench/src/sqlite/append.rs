//! S1 and S2: orders created and shipped.

use crate::Failed;
use crate::commands;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::workload::{Ids, RawEvent};
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::Instant;

/// The table of events and its two rules, as factstream has them.
pub(crate) const TABLES: &str = "CREATE TABLE events (
    position INTEGER PRIMARY KEY, aggregate_type TEXT NOT NULL, aggregate_id TEXT NOT NULL, version INTEGER NOT NULL,
    event_id TEXT NOT NULL UNIQUE, event_type TEXT NOT NULL, schema_version INTEGER NOT NULL, event_data TEXT NOT NULL,
    metadata TEXT NOT NULL, timestamp TEXT NOT NULL, UNIQUE (aggregate_type, aggregate_id, version))";
const INSERT: &str =
    "INSERT INTO events (aggregate_type, aggregate_id, version, event_id, event_type, schema_version,
    event_data, metadata, timestamp) VALUES ('order', ?1, ?2, ?3, ?4, 1, ?5, ?6, ?7)";

pub(crate) async fn commands(place: Place, callers: u64) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let url = format!("sqlite://{}", folder.path().join("orders.db").display());
    let app = commands::open(&url).await?;
    commands::run(&app, callers, place.size).await
}

/// P5s: the same in one call for so many.
pub(crate) async fn in_bulk(place: Place, per_call: u64) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let file = folder.path().join("orders.db");
    let app = commands::open(&format!("sqlite://{}", file.display())).await?;
    let figures = commands::run_in_bulk(&app, per_call, place.size).await?;
    let events: i64 = open(&file)?.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
    match events == (place.size * 2).cast_signed() {
        true => Ok(figures),
        false => Err(format!("{events} events were written").into()),
    }
}

pub(crate) fn raw(place: &Place, per_commit: usize) -> Result<Figures, Failed> {
    let folder = tempfile::tempdir_in(&place.folder)?;
    let connection = open(&folder.path().join("raw.db"))?;
    connection.execute_batch(TABLES)?;
    let (began, mut times) = (Instant::now(), Times::new());
    let mut events = RawEvent::all(Ids::new(), place.size).peekable();
    while events.peek().is_some() {
        let began = Instant::now();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = connection.prepare_cached(INSERT)?;
        for event in events.by_ref().take(per_commit) {
            let RawEvent { aggregate_id, version, event_id, event_type, data, metadata, timestamp } = event;
            insert.execute(params![
                aggregate_id,
                version,
                event_id.to_string(),
                event_type,
                data,
                metadata,
                timestamp
            ])?;
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        times.record(began.elapsed());
    }
    Ok(Figures::rate(place.size * 2, began).with_latency(&times))
}

/// A connection with durable commits.
pub(crate) fn open(file: &Path) -> Result<Connection, Failed> {
    let connection = Connection::open(file)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}
