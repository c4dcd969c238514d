//! The writing connection, and appends that wait together committed together.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). An append that is refused does not
//! disturb its neighbours.

use crate::append::Appender;
use crate::desk::{self, Desk};
use crate::error;
use crate::news::News;
use crate::options::Options;
use crate::pace::QUICK_ROWS_MAX;
use crate::place::Place;
use crate::watchdog::Watchdog;
use factstream_core::envelope::Position;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use rusqlite::Connection;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    pub(crate) key: Option<CommandKey>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// What came of an append; and the append, for memory is given back best by the thread that took it.
pub(crate) struct Answer {
    pub(crate) outcome: Result<Outcome, StoreError>,
    pub(crate) _append: Append,
}

impl PendingAppend {
    fn answer(self, outcome: Result<Outcome, StoreError>) {
        let _ = self.reply.send(Answer { outcome, _append: self.append }); // unheard by a caller that has left
    }
}

/// What the writer thread works with.
pub(crate) struct Writer {
    pub(crate) log: Arc<Log>,
    pub(crate) watchdog: Watchdog,
    pub(crate) options: Options,
}

/// The end of the log, where it grows.
pub(crate) struct Log {
    pub(crate) desk: Arc<Desk>,
    pub(crate) news: Arc<News>,
    pub(crate) place: Place,
}

/// What an append is known as that is committed alone.
const APPEND: &str = "append";

impl Log {
    /// Appends and commits in the caller's task, while that is quick: when appends come one at a time and a commit takes no longer
    /// than other quick statements. `None`, and nothing was done, when it is for the writer thread.
    pub(crate) fn append_here(
        &self,
        append: &Append,
        key: Option<&CommandKey>,
    ) -> Option<Result<Outcome, StoreError>> {
        if append.events.len() > QUICK_ROWS_MAX || !self.desk.pace.is_quick(APPEND) {
            return None;
        }
        let desk = self.desk.take_if_free()?;
        let began = Instant::now();
        begin(&desk).ok()?; // another process is writing: the thread waits for it
        let outcome = self.commit(desk, |appender| appender.append(append, key));
        self.desk.pace.took(APPEND, began.elapsed());
        Some(outcome)
    }

    /// Appends to the transaction that has begun, and commits it.
    fn commit<T>(
        &self,
        desk: MutexGuard<'_, desk::Place>,
        write: impl FnOnce(&mut Appender<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let committed = write_and_commit(&desk, write).map_err(|error| error::of_engine(&error));
        if committed.is_err() {
            desk.roll_back();
        }
        drop(desk);
        let (written, head) = committed?;
        self.acknowledge(head)?;
        Ok(written)
    }

    /// What was committed may be told, up to this position: the file is where it was.
    pub(crate) fn acknowledge(&self, head: Position) -> Result<(), StoreError> {
        self.place.check()?;
        self.news.tell(head);
        Ok(())
    }
}

impl Writer {
    /// Commits appends together, and with them what comes while they are written; when one of them breaks the statement,
    /// each alone.
    pub(crate) fn commit_group(
        &mut self,
        mut group: Vec<PendingAppend>,
        late: &mut dyn FnMut() -> Option<PendingAppend>,
    ) {
        match self.try_group(&mut group, late) {
            Ok(outcomes) => {
                for (pending, outcome) in group.into_iter().zip(outcomes) {
                    pending.answer(Ok(outcome));
                }
            }
            Err(failure) if group.len() > 1 && is_particular(&failure) => {
                for pending in group {
                    self.commit_group(vec![pending], &mut || None);
                }
            }
            Err(failure) => {
                for pending in group {
                    pending.answer(Err(failure.clone()));
                }
            }
        }
    }

    fn try_group(
        &mut self,
        group: &mut Vec<PendingAppend>,
        late: &mut dyn FnMut() -> Option<PendingAppend>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (log, began) = (&self.log, Instant::now());
        let desk = log.desk.take();
        begin(&desk).map_err(|error| error::of_engine(&error))?;
        let outcomes = log.commit(desk, |appender| {
            let mut outcomes = Vec::with_capacity(group.len());
            while let Some(PendingAppend { append, key, .. }) = group.get(outcomes.len()) {
                outcomes.push(appender.append(append, key.as_ref())?);
                if outcomes.len() == group.len() && group.len() < self.options.append_batch_max {
                    group.extend(late());
                }
            }
            Ok(outcomes)
        });
        // What comes together is committed together, here.
        log.desk.pace.took(APPEND, if group.len() == 1 { began.elapsed() } else { Duration::MAX });
        outcomes
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
}

/// What was written, and how far the log reaches now.
fn write_and_commit<T>(
    connection: &Connection,
    write: impl FnOnce(&mut Appender<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<(T, Position)> {
    let mut appender = Appender::new(connection)?;
    let written = write(&mut appender)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok((written, appender.head()))
}

/// Whether the failure is one append's own (a duplicate event id, for example), not the file's or the disk's.
fn is_particular(failure: &StoreError) -> bool {
    matches!(failure, StoreError::Engine(_) | StoreError::Statement { .. })
}
