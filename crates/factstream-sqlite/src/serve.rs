//! One transaction served on the writer thread: step by step, from `BEGIN IMMEDIATE` to its end.
//!
//! Invariant: a statement that ended the transaction by itself (a full disk, a user's own ROLLBACK) is noticed after each step, so
//! that no commit is reported that did not happen.

use crate::append::{self, Appender};
use crate::bind::{bind, numbers};
use crate::error::{self, first_line};
use crate::query::{query, refuse_control};
use crate::transaction::{PendingBegin, Session, Step};
use crate::writer::Writer;
use factstream_core::sql::Params;
use factstream_core::store::{Append, Commit, StoreError};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Instant;

/// Serves one transaction on the writer thread, to its end.
pub(crate) fn serve(writer: &mut Writer, begin: PendingBegin) {
    if begin.is_closed() {
        return;
    }
    if let Err(error) = writer.connection.execute_batch("BEGIN IMMEDIATE") {
        writer.roll_back();
        let _ = begin.send(Err(error::of_engine(&error)));
        return;
    }
    let (steps, received) = mpsc::channel();
    let limit = writer.options.transaction_time_limit;
    let deadline = Instant::now() + limit;
    let stopper = writer.watchdog.begin(deadline);
    if begin.send(Ok(Session { steps, stopper, deadline, limit })).is_ok() {
        while let Ok(step) = received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // A step that waited behind one that took all the time is not taken: its caller is told by the drop.
            if Instant::now() >= deadline || take(writer, step) {
                break;
            }
        }
    }
    writer.watchdog.end();
    writer.roll_back();
}

/// Takes one step; `true` when the transaction has ended.
fn take(writer: &mut Writer, step: Step) -> bool {
    let connection = &writer.connection;
    match step {
        Step::Execute { sql, params, reply } => {
            let _ = reply.send(guarded(connection, || execute(connection, &sql, &params)));
            false
        }
        Step::Query { sql, params, reply } => {
            let run = || query(connection, &sql, &params, error::of_statement);
            let _ = reply.send(guarded(connection, run));
            false
        }
        Step::Native { run, done } => {
            let ran = guarded(connection, || {
                catch_unwind(AssertUnwindSafe(|| run(connection)))
                    .map_err(|_| StoreError::Engine("the native access panicked".into()))
            });
            let _ = done.send(ran);
            false
        }
        Step::Commit { appends, reply } => {
            writer.watchdog.end();
            let committed = commit(connection, &appends).and_then(|done| {
                writer.place.check()?;
                Ok(done)
            });
            if !matches!(committed, Ok((Commit::Committed(_), _))) {
                writer.roll_back();
            }
            let _ = reply.send(committed.map(|(commit, head)| {
                writer.news.tell(head);
                commit
            }));
            true
        }
    }
}

/// A step is taken only within the transaction, and must leave it open.
fn guarded<T>(
    connection: &Connection,
    step: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    check_open(connection)?;
    let result = step()?;
    check_open(connection)?;
    Ok(result)
}

fn check_open(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        let text = "the transaction has ended (rolled back after an error, or by a statement of its own); begin another";
        return Err(StoreError::Engine(text.into()));
    }
    Ok(())
}

fn execute(connection: &Connection, sql: &str, params: &[Params]) -> Result<Vec<u64>, StoreError> {
    refuse_control(sql)?;
    let failed = |error: rusqlite::Error| error::of_statement(sql, &error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    if statement.column_count() > 0 {
        // Refused before it runs: it would have written by the time that SQLite finds rows where none are wanted.
        let message = "it answers with rows; use query for it".to_owned();
        return Err(StoreError::statement(message, first_line(sql)));
    }
    let mut touched = Vec::with_capacity(params.len());
    for params in params {
        let numbers = numbers(&statement, sql, params.len())?;
        bind(&mut statement, &numbers, params).map_err(failed)?;
        let before = connection.total_changes();
        let changes = statement.raw_execute().map_err(failed)? as u64;
        // A statement that is no INSERT, UPDATE or DELETE leaves the count of the one before it.
        touched.push(if connection.total_changes() == before { 0 } else { changes });
    }
    Ok(touched)
}

fn commit(connection: &Connection, appends: &[Append]) -> Result<(Commit, u64), StoreError> {
    check_open(connection)?;
    let failed = |error: rusqlite::Error| error::of_engine(&error);
    let mut head = append::head(connection).map_err(failed)?;
    let mut appender = Appender::new(connection).map_err(failed)?;
    let mut appended = Vec::with_capacity(appends.len());
    for append in appends {
        match appender.append_events(&mut head, append).map_err(failed)? {
            Ok(done) => appended.push(done),
            Err(conflict) => return Ok((Commit::Conflict(conflict), 0)),
        }
    }
    connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(failed)?;
    Ok((Commit::Committed(appended), head))
}
