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

/// The answer that nobody has read. At most one: the next poll begins with it.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Polled>>>);

impl Unread {
    pub(super) fn keep(&self, polled: Polled) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(polled);
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
