//! One transaction served on the writer thread: step by step, from `BEGIN IMMEDIATE` to its end.
//!
//! Invariant: a statement that ended the transaction by itself (a full disk, a user's own ROLLBACK) is noticed after each step, so
//! that no commit is reported that did not happen.

use crate::append::Appender;
use crate::error;
use crate::query::check_open;
use crate::transaction::{PendingBegin, Session, Step};
use crate::writer::Writer;
use factstream_core::store::{Append, Commit, StoreError};
use rusqlite::Connection;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Serves one transaction on the writer thread, to its end.
pub(crate) fn serve(writer: &mut Writer, begin: PendingBegin) {
    if begin.is_closed() {
        return;
    }
    let begun = writer.log.desk.take().begin();
    let number = match begun {
        Ok(number) => number,
        Err(error) => {
            let _ = begin.send(Err(error::of_engine(&error)));
            return;
        }
    };
    let (steps, received) = mpsc::channel();
    let limit = writer.options.transaction_time_limit;
    let deadline = Instant::now() + limit;
    let stopper = writer.watchdog.begin(deadline);
    let desk = Arc::clone(&writer.log.desk);
    if begin.send(Ok(Session { desk, number, steps, stopper, deadline, limit })).is_ok() {
        while let Ok(step) = received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // A step that waited behind one that took all the time is not taken: its caller is told by the drop.
            if Instant::now() >= deadline || take(writer, step) {
                break;
            }
        }
    }
    // The watchdog stops what still runs in the caller's task, until the connection is free.
    let mut desk = writer.log.desk.take();
    desk.end();
    writer.watchdog.end();
    desk.roll_back();
}

/// Takes one step; `true` when the transaction has ended.
fn take(writer: &mut Writer, step: Step) -> bool {
    let desk = writer.log.desk.take();
    match step {
        Step::Run(run) => {
            run(&desk);
            false
        }
        Step::Commit { appends, reply } => {
            writer.watchdog.end();
            let committed = commit(&desk, &appends).and_then(|(commit, head)| {
                writer.log.acknowledge(head)?;
                Ok(commit)
            });
            if !matches!(committed, Ok(Commit::Committed(_))) {
                desk.roll_back();
            }
            let _ = reply.send(committed);
            true
        }
    }
}

fn commit(connection: &Connection, appends: &[Append]) -> Result<(Commit, u64), StoreError> {
    check_open(connection)?;
    let failed = |error: rusqlite::Error| error::of_engine(&error);
    let mut appender = Appender::new(connection).map_err(failed)?;
    let mut appended = Vec::with_capacity(appends.len());
    for append in appends {
        match appender.append_events(append).map_err(failed)? {
            Ok(done) => appended.push(done),
            Err(conflict) => return Ok((Commit::Conflict(conflict), 0)),
        }
    }
    connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(failed)?;
    Ok((Commit::Committed(appended), appender.head()))
}
