//! What becomes of the answer to a poll that is given up.
//!
//! Invariant: an answer that the thread has given is read by the caller of its poll, or kept for the next poll. A channel
//! alone would drop it when the caller goes away between the sending and the reading.

use factstream_core::broker::BrokerError;
use factstream_core::message::Record;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The records, or the error, that a poll is answered with.
pub(super) type Polled = Result<Vec<Record>, BrokerError>;

/// The answer that nobody has read: the next poll begins with it.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Polled>>>);

impl Unread {
    /// Keeps an answer, before what is kept already.
    pub(super) fn keep(&self, polled: Polled) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(match (polled, kept.take()) {
            (Ok(mut records), Some(Ok(rest))) => {
                records.extend(rest);
                Ok(records)
            }
            (Err(_), Some(Ok(rest))) => Ok(rest), // what fails is told again, records are not given again
            (polled, _) => polled,
        });
    }

    pub(super) fn take(&self) -> Option<Polled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Waits for the answer to a poll; dropped before it was read, it keeps what has come.
pub(super) struct Answer<'a> {
    answer: oneshot::Receiver<Polled>,
    unread: &'a Unread,
}

impl<'a> Answer<'a> {
    pub(super) fn new(answer: oneshot::Receiver<Polled>, unread: &'a Unread) -> Self {
        Self { answer, unread }
    }
}

impl Future for Answer<'_> {
    type Output = Result<Polled, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        // Closed first: from here on the thread keeps what it cannot send.
        self.answer.close();
        if let Ok(polled) = self.answer.try_recv() {
            self.unread.keep(polled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factstream_core::broker::Partition;
    use factstream_core::message::Headers;

    fn record(offset: i64) -> Record {
        let partition = Partition { topic: "orders.events".into(), partition: 0 };
        Record { partition, offset, key: None, value: None, headers: Headers::new(), timestamp: None }
    }

    #[test]
    fn an_answer_that_is_given_up_comes_before_what_was_kept() {
        let unread = Unread::default();
        unread.keep(Ok(vec![record(2), record(3)]));
        unread.keep(Ok(vec![record(0), record(1)]));
        let kept = unread.take().expect("something is kept").expect("no error is kept");
        assert_eq!(kept.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(unread.take().is_none());
    }
}
