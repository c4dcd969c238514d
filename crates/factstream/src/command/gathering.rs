//! Appends of many streams that are decided side by side, and committed together: each waits until none of the others can go on
//! without one, and then they go to the store in one call.

use crate::tasks::lock;
use factstream_core::store::{Append, CommandKey, Outcome, Store, StoreError};
use futures_util::stream::{Stream, StreamExt};
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::Poll;
use tokio::sync::oneshot;

type Waiting = (Append, Option<CommandKey>, oneshot::Sender<Result<Outcome, StoreError>>);

/// Where appends wait for each other.
#[derive(Default)]
pub(super) struct Gathering {
    waiting: Mutex<Vec<Waiting>>,
}

impl Gathering {
    /// As [`Store::append`], with those that are gathered by [`Gathering::run`].
    pub(super) async fn append(
        &self,
        append: Append,
        key: Option<CommandKey>,
    ) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).push((append, key, reply));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs these to their ends, and appends what they gather here.
    pub(super) async fn run<T>(
        &self,
        store: &dyn Store,
        work: impl Stream<Item = T>,
        mut done: impl FnMut(T),
    ) {
        let mut work = std::pin::pin!(work);
        loop {
            let next = poll_fn(|context| match work.poll_next_unpin(context) {
                Poll::Ready(ended) => Poll::Ready(Next::Ended(ended)),
                Poll::Pending => match std::mem::take(&mut *lock(&self.waiting)) {
                    none if none.is_empty() => Poll::Pending,
                    waiting => Poll::Ready(Next::Append(waiting)),
                },
            });
            match next.await {
                Next::Ended(Some(ended)) => done(ended),
                Next::Ended(None) => return,
                Next::Append(waiting) => append_all(store, waiting).await,
            }
        }
    }
}

enum Next<T> {
    Ended(Option<T>),
    Append(Vec<Waiting>),
}

async fn append_all(store: &dyn Store, waiting: Vec<Waiting>) {
    let (mut appends, mut replies) = (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
    for (append, key, reply) in waiting {
        appends.push((append, key));
        replies.push(reply);
    }
    for (reply, outcome) in replies.into_iter().zip(store.append_all(appends).await) {
        let _ = reply.send(outcome); // unheard where nobody waits for it any more
    }
}
