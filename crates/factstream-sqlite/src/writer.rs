//! The writing connection, and appends that wait together committed together.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). An append that is refused does not
//! disturb its neighbours.

use crate::append::{self, Appender};
use crate::desk::Desk;
use crate::error;
use crate::news::News;
use crate::options::Options;
use crate::place::Place;
use crate::watchdog::Watchdog;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    pub(crate) key: Option<CommandKey>,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

pub(crate) struct Writer {
    pub(crate) desk: Arc<Desk>,
    pub(crate) watchdog: Watchdog,
    pub(crate) news: Arc<News>,
    pub(crate) options: Options,
    pub(crate) place: Place,
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
                    let _ = pending.reply.send(Ok(outcome));
                }
            }
            Err(failure) if group.len() > 1 && is_particular(&failure) => {
                for pending in group {
                    self.commit_group(vec![pending], &mut || None);
                }
            }
            Err(failure) => {
                for pending in group {
                    let _ = pending.reply.send(Err(failure.clone()));
                }
            }
        }
    }

    fn try_group(
        &mut self,
        group: &mut Vec<PendingAppend>,
        late: &mut dyn FnMut() -> Option<PendingAppend>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let desk = self.desk.take();
        let written = self.write_group(&desk, group, late).map_err(|error| error::of_engine(&error));
        if written.is_err() {
            desk.roll_back();
        }
        drop(desk);
        let (outcomes, head) = written?;
        self.place.check()?;
        self.news.tell(head);
        Ok(outcomes)
    }

    fn write_group(
        &self,
        connection: &Connection,
        group: &mut Vec<PendingAppend>,
        late: &mut dyn FnMut() -> Option<PendingAppend>,
    ) -> rusqlite::Result<(Vec<Outcome>, u64)> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut head = append::head(connection)?;
        let mut appender = Appender::new(connection)?;
        let mut outcomes = Vec::with_capacity(group.len());
        while let Some(PendingAppend { append, key, .. }) = group.get(outcomes.len()) {
            outcomes.push(appender.append(&mut head, append, key.as_ref())?);
            if outcomes.len() == group.len() && group.len() < self.options.append_batch_max {
                group.extend(late());
            }
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        Ok((outcomes, head))
    }
}

/// Whether the failure is one append's own (a duplicate event id, for example), not the file's or the disk's.
fn is_particular(failure: &StoreError) -> bool {
    matches!(failure, StoreError::Engine(_) | StoreError::Statement { .. })
}
