//! The writer task: it commits the appends that wait together.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). A group whose connection was lost
//! while its COMMIT was on the way is asked for, not guessed about. An append that breaks the statement is tried alone, so
//! that it does not disturb its neighbours.

use crate::error::{again, of_append, of_pool, of_statement};
use crate::group::{Group, Known};
use crate::lost_commit::{self, is_lost};
use crate::shared::Shared;
use crate::statements::Statements;
use deadpool_postgres::Pool;
use factstream_core::envelope::StreamId;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use futures_util::future::{BoxFuture, FutureExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(crate) struct PendingAppend {
    pub(crate) append: Append,
    pub(crate) key: Option<CommandKey>,
    pub(crate) reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

pub(crate) struct Writer {
    pub(crate) pool: Pool,
    pub(crate) shared: Arc<Shared>,
    pub(crate) append_batch_max: usize,
}

impl Writer {
    /// Works until every handle of the store is gone and everything that was accepted is answered.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<PendingAppend>) {
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, self.append_batch_max).await > 0 {
            self.commit_group(std::mem::take(&mut waiting)).await;
        }
    }

    fn commit_group(&self, group: Vec<PendingAppend>) -> BoxFuture<'_, ()> {
        async move {
            match self.try_group(&group).await {
                Ok(outcomes) => {
                    for (pending, outcome) in group.into_iter().zip(outcomes) {
                        let _ = pending.reply.send(Ok(outcome));
                    }
                }
                Err(StoreError::Statement { .. }) if group.len() > 1 => {
                    for pending in group {
                        self.commit_group(vec![pending]).await;
                    }
                }
                Err(failure) => {
                    for pending in group {
                        let _ = pending.reply.send(Err(again(&failure)));
                    }
                }
            }
        }
        .boxed()
    }

    async fn try_group(&self, pending: &[PendingAppend]) -> Result<Vec<Outcome>, StoreError> {
        let failed = |error: tokio_postgres::Error| of_append(Some(self.shared.lock_timeout), &error);
        let mut client = self.pool.get().await.map_err(|error| of_pool(&self.shared.server.place, &error))?;
        let tx = client.transaction().await.map_err(failed)?;
        let streams: BTreeSet<&StreamId> = pending.iter().map(|pending| &pending.append.stream).collect();
        let streams: Vec<&StreamId> = streams.into_iter().collect();
        let keys: Vec<&CommandKey> = pending.iter().filter_map(|pending| pending.key.as_ref()).collect();
        let statements = Statements::kept(&tx).await.map_err(failed)?;
        let mut known = Known::read(&*tx, &statements, &streams, &keys).await.map_err(failed)?;
        let mut group = Group::default();
        let decide =
            |pending: &PendingAppend| group.decide(&mut known, &pending.append, pending.key.as_ref());
        let outcomes: Vec<Outcome> = pending.iter().map(decide).collect();
        if group.is_empty() {
            return Ok(outcomes);
        }
        let announced = group.head().is_some() && self.shared.announcements.take();
        group.write(&*tx, &statements, announced).await.map_err(failed)?;
        if let Err(error) = tx.commit().await {
            if !is_lost(&error) {
                return Err(of_statement("COMMIT", &error));
            }
            drop(client);
            let mark = group.mark().ok_or_else(|| of_statement("COMMIT", &error))?;
            lost_commit::ask(&self.pool, &self.shared.server.place, &mark).await?;
        }
        if let Some(head) = group.head() {
            self.shared.committed(head, announced);
        }
        Ok(outcomes)
    }
}
