//! The writer thread: it owns the writing connection, commits waiting appends together, and serves one transaction at a
//! time in between.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). An append that is refused does not
//! disturb its neighbours. Appends and transactions take turns, so neither starves.

use crate::append::{self, Appender};
use crate::error;
use crate::news::News;
use crate::options::Options;
use crate::patience;
use crate::place::Place;
use crate::transaction::{Session, serve};
use crate::watchdog::Watchdog;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Transactions taken out of the queue and waiting for their turn.
const BEGINS_MAX: usize = 64;

pub(crate) enum Request {
    Append(Box<PendingAppend>),
    Begin(PendingBegin),
}

pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    pub(crate) key: Option<CommandKey>,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

pub(crate) type PendingBegin = oneshot::Sender<Result<Session, StoreError>>;

pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) watchdog: Watchdog,
    pub(crate) news: Arc<News>,
    pub(crate) options: Options,
    pub(crate) place: Place,
}

impl Writer {
    /// Works until every handle of the store is gone and everything that was accepted is answered.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        patience::on_this_thread(self.options.busy_timeout);
        let mut appends = Vec::new();
        let mut begins = VecDeque::new();
        loop {
            if begins.is_empty() {
                match queue.blocking_recv() {
                    Some(request) => sort(request, &mut appends, &mut begins),
                    None => break,
                }
            }
            while appends.len() < self.options.append_batch_max && begins.len() < BEGINS_MAX {
                match queue.try_recv() {
                    Ok(request) => sort(request, &mut appends, &mut begins),
                    Err(_) => break,
                }
            }
            if !appends.is_empty() {
                self.commit_group(std::mem::take(&mut appends), &mut || late(&mut queue, &mut begins));
            }
            if let Some(begin) = begins.pop_front() {
                serve(&mut self, begin);
            }
        }
        // What is not folded in now is by whoever opens the file next: neither is needed for what was acknowledged.
        let folded = self.connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(PASSIVE)");
        if let Err(error) = folded {
            tracing::warn!(%error, "the write-ahead log was not folded into the file when the store was closed");
        }
    }

    /// Commits appends together, and with them what comes while they are written; when one of them breaks the statement,
    /// each alone.
    fn commit_group(
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
        let written = self.write_group(group, late).map_err(|error| error::of_engine(&error));
        if written.is_err() {
            self.roll_back();
        }
        let (outcomes, head) = written?;
        self.place.check()?;
        self.news.tell(head);
        Ok(outcomes)
    }

    fn write_group(
        &self,
        group: &mut Vec<PendingAppend>,
        late: &mut dyn FnMut() -> Option<PendingAppend>,
    ) -> rusqlite::Result<(Vec<Outcome>, u64)> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut head = append::head(&self.connection)?;
        let mut appender = Appender::new(&self.connection)?;
        let mut outcomes = Vec::with_capacity(group.len());
        while let Some(PendingAppend { append, key, .. }) = group.get(outcomes.len()) {
            outcomes.push(appender.append(&mut head, append, key.as_ref())?);
            if outcomes.len() == group.len() && group.len() < self.options.append_batch_max {
                group.extend(late());
            }
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok((outcomes, head))
    }

    /// Ends whatever transaction is left. After some errors SQLite has done so by itself.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

/// An append that came meanwhile, unless a transaction did: it has its turn.
fn late(queue: &mut mpsc::Receiver<Request>, begins: &mut VecDeque<PendingBegin>) -> Option<PendingAppend> {
    if !begins.is_empty() {
        return None;
    }
    match queue.try_recv() {
        Ok(Request::Append(append)) => Some(*append),
        Ok(Request::Begin(begin)) => {
            begins.push_back(begin);
            None
        }
        Err(_) => None,
    }
}

fn sort(request: Request, appends: &mut Vec<PendingAppend>, begins: &mut VecDeque<PendingBegin>) {
    match request {
        Request::Append(append) => appends.push(*append),
        Request::Begin(begin) => begins.push_back(begin),
    }
}

/// Whether the failure is one append's own (a duplicate event id, for example), not the file's or the disk's.
fn is_particular(failure: &StoreError) -> bool {
    matches!(failure, StoreError::Engine(_) | StoreError::Statement { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream_core::envelope::StreamId;
    use factstream_core::store::Expected;

    fn pending(id: &str) -> Request {
        let stream = StreamId::new("order", id).expect("an id");
        let append = Append { stream, expected: Expected::Any, events: Vec::new() };
        Request::Append(Box::new(PendingAppend { append, key: None, reply: oneshot::channel().0 }))
    }

    #[test]
    fn a_group_grows_until_a_transaction_comes_and_what_comes_after_it_waits_in_the_queue() {
        let (requests, mut queue) = mpsc::channel(8);
        for request in [pending("1"), pending("2"), Request::Begin(oneshot::channel().0), pending("3")] {
            assert!(requests.try_send(request).is_ok());
        }
        let mut begins = VecDeque::new();
        let mut next = || late(&mut queue, &mut begins).map(|late| late.append.stream.id().to_owned());
        assert_eq!([next(), next(), next(), next()].map(Option::unwrap_or_default), ["1", "2", "", ""]);
        assert_eq!(
            (begins.len(), queue.len()),
            (1, 1),
            "the transaction has its turn, the append after it is not lost"
        );
    }
}
