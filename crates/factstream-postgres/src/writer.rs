//! The writer task: it commits the appends that wait together.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). A group whose connection was lost
//! while its COMMIT was on the way is asked for, not guessed about. An append that breaks the statement is tried alone, so
//! that it does not disturb its neighbours.

use crate::error::{again, of_append, of_pool, of_statement};
use crate::group::{Group, Known};
use crate::shared::Shared;
use crate::statements::Statements;
use deadpool_postgres::Pool;
use factstream_core::envelope::StreamId;
use factstream_core::store::{Append, CommandKey, Outcome, StoreError};
use futures_util::future::{BoxFuture, FutureExt};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often a commit whose reply was lost is asked for, and how long is waited in between.
const ASK_MAX: u32 = 60;
const ASK_PAUSE: Duration = Duration::from_millis(500);

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
        let mut known = Known::read(&tx, &statements, &streams, &keys).await.map_err(failed)?;
        let mut group = Group::default();
        let decide =
            |pending: &PendingAppend| group.decide(&mut known, &pending.append, pending.key.as_ref());
        let outcomes: Vec<Outcome> = pending.iter().map(decide).collect();
        if group.is_empty() {
            return Ok(outcomes);
        }
        let announced = group.head().is_some() && self.shared.announcements.take();
        group.write(&tx, &statements, announced).await.map_err(failed)?;
        if let Err(error) = tx.commit().await {
            if error.as_db_error().is_some() {
                return Err(of_statement("COMMIT", &error));
            }
            drop(client);
            self.ask(&group).await?;
        }
        if let Some(head) = group.head() {
            self.shared.committed(head, announced);
        }
        Ok(outcomes)
    }

    /// The reply to a COMMIT was lost: did it happen? A group is all or nothing, so one event or key tells.
    async fn ask(&self, group: &Group) -> Result<(), StoreError> {
        for _ in 0..ASK_MAX {
            match self.is_stored(group).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let text =
                        "the connection was lost while the append was being committed; nothing was stored";
                    return Err(StoreError::Busy(text.into()));
                }
                Err(error) => tracing::warn!(%error, "asking whether an append was committed"),
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
        Err(StoreError::Unknown("the connection was lost while the append was being committed".into()))
    }

    async fn is_stored(&self, group: &Group) -> Result<bool, StoreError> {
        let failed = |error: tokio_postgres::Error| of_statement("asking", &error);
        let client = self.pool.get().await.map_err(|error| of_pool(&self.shared.server.place, &error))?;
        // Whoever still commits the group holds the counter's lock: behind it, the answer is final.
        client.query_one("SELECT head FROM fs_log WHERE id = 1 FOR UPDATE", &[]).await.map_err(failed)?;
        let found = match (group.event_id(), group.key()) {
            (Some(id), _) => client.query_opt("SELECT 1 FROM events WHERE event_id = $1", &[&id]).await,
            (None, key) => client.query_opt("SELECT 1 FROM fs_command_keys WHERE key = $1", &[&key]).await,
        };
        Ok(found.map_err(failed)?.is_some())
    }
}
