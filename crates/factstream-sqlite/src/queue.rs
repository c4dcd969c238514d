//! The writer thread: appends and transactions take turns, so that neither starves.

use crate::patience;
use crate::serve::serve;
use crate::transaction::PendingBegin;
use crate::writer::{PendingAppend, Writer};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// Transactions taken out of the queue and waiting for their turn.
const BEGINS_MAX: usize = 64;

/// What the thread is asked for.
pub(crate) enum Request {
    Append(Box<PendingAppend>),
    Begin(PendingBegin),
}

/// Works until every handle of the store is gone and everything that was accepted is answered.
pub(crate) fn run(mut writer: Writer, mut queue: mpsc::Receiver<Request>) {
    patience::on_this_thread(writer.options.busy_timeout);
    let mut appends = Vec::new();
    let mut begins = VecDeque::new();
    loop {
        if begins.is_empty() {
            let busy = &writer.log.desk.busy;
            busy.store(!queue.is_empty(), Ordering::Release);
            match queue.blocking_recv() {
                Some(request) => sort(request, &mut appends, &mut begins),
                None => break,
            }
            busy.store(true, Ordering::Release);
        }
        while appends.len() < writer.options.append_batch_max && begins.len() < BEGINS_MAX {
            match queue.try_recv() {
                Ok(request) => sort(request, &mut appends, &mut begins),
                Err(_) => break,
            }
        }
        if !appends.is_empty() {
            writer.commit_group(std::mem::take(&mut appends), &mut || late(&mut queue, &mut begins));
        }
        if let Some(begin) = begins.pop_front() {
            serve(&mut writer, begin);
        }
    }
    // What is not folded in now is by whoever opens the file next: neither is needed for what was acknowledged.
    let folded = writer.log.desk.take().execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(PASSIVE)");
    if let Err(error) = folded {
        tracing::warn!(%error, "the write-ahead log was not folded into the file when the store was closed");
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

#[cfg(test)]
mod tests {
    use super::*;
    use factstream_core::envelope::StreamId;
    use factstream_core::store::{Append, Expected};
    use tokio::sync::oneshot;

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
