//! Appends decided under the counter's lock, in two exchanges with the server: those that the optimistic statement does not
//! take, or refused.
//!
//! Invariants: an append is answered after its COMMIT has returned, never before (G1). A group whose connection was lost
//! while its COMMIT was on the way is asked for, not guessed about. An append that breaks the statement is tried alone, so
//! that it does not disturb its neighbours.

use crate::error::{of_append, of_statement};
use crate::group::{Group, Known};
use crate::lost_commit::{self, NOT_REPLICATED, is_lost};
use crate::pending::PendingAppend;
use crate::pool::{Lent, Pool};
use crate::shared::Shared;
use crate::statements::Statements;
use factstream_core::envelope::StreamId;
use factstream_core::store::{CommandKey, Outcome, StoreError};
use futures_util::future::{BoxFuture, FutureExt, TryFutureExt, try_join};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Error};

pub(crate) struct Locking {
    pub(crate) pool: Pool,
    pub(crate) shared: Arc<Shared>,
    pub(crate) append_batch_max: usize,
}

impl Locking {
    /// Works until nobody hands it anything any more and everything that was accepted is answered.
    pub(crate) async fn run(self, mut queue: mpsc::Receiver<PendingAppend>) {
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, self.append_batch_max).await > 0 {
            let group = self.of_this_history(std::mem::take(&mut waiting)).await;
            self.commit_group(group).await;
        }
    }

    /// Those that were decided on the log as it is; others are answered. A connection that is made now tells.
    async fn of_this_history(&self, group: Vec<PendingAppend>) -> Vec<PendingAppend> {
        drop(self.pool.get().await); // without one, the error is told below
        let history = self.shared.knowledge.history();
        let (group, others): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|pending| pending.history == history);
        for pending in others {
            pending.refuse_history();
        }
        group
    }

    fn commit_group(&self, group: Vec<PendingAppend>) -> BoxFuture<'_, ()> {
        async move {
            match self.try_group(&group).await {
                Ok(outcomes) => {
                    for (pending, outcome) in group.into_iter().zip(outcomes) {
                        self.learn(&outcome);
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
                        let _ = pending.reply.send(Err(failure.clone()));
                    }
                }
            }
        }
        .boxed()
    }

    fn learn(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Appended(done) => self.shared.knowledge.reached.learn(&done.stream, done.version),
            Outcome::Conflict(conflict) => {
                self.shared.knowledge.reached.learn(&conflict.stream, conflict.actual)
            }
            Outcome::Repeated(_) | Outcome::KeyReused { .. } => {}
        }
    }

    async fn try_group(&self, pending: &[PendingAppend]) -> Result<Vec<Outcome>, StoreError> {
        let failed = |error: Error| of_append(Some(self.shared.lock_timeout), &error);
        let client = self.pool.get().await?;
        let statements = Statements::kept(&client).await.map_err(failed)?;
        let (group, outcomes) = match decide(&client, &self.shared, &statements, pending).await {
            Ok(decided) => decided,
            Err(error) => {
                let error = failed(error);
                // Should another server write by now, it is found by connecting again.
                match error {
                    StoreError::Unavailable { .. } => Lent::take(client).abandon(&self.shared.server),
                    _ => roll_back(&client).await,
                }
                return Err(error);
            }
        };
        if group.is_empty() {
            roll_back(&client).await;
            return Ok(outcomes);
        }
        let announced = group.head().is_some() && self.shared.announcements.take();
        let unreplicated = client.unreplicated();
        match commit(&client, &statements, &group, announced).await {
            Ok(()) if client.unreplicated() == unreplicated => {}
            Ok(()) => {
                drop(client);
                let mark = group.mark().ok_or_else(|| StoreError::Unknown(NOT_REPLICATED.into()))?;
                lost_commit::ask(&self.pool, &self.shared, &mark).await?;
            }
            Err(Ended::RolledBack(error)) => {
                roll_back(&client).await;
                return Err(failed(error));
            }
            Err(Ended::Unknown(error)) => {
                drop(client);
                let mark = group.mark().ok_or_else(|| of_statement("COMMIT", &error))?;
                lost_commit::ask(&self.pool, &self.shared, &mark).await?;
            }
        }
        if let Some(head) = group.head() {
            self.shared.committed(head, announced);
        }
        Ok(outcomes)
    }
}

/// Begins a transaction, locks the counter and looks: one exchange with the server. Then decides, in memory.
async fn decide<'a>(
    client: &Client,
    shared: &Shared,
    statements: &Statements,
    pending: &'a [PendingAppend],
) -> Result<(Group<'a>, Vec<Outcome>), Error> {
    let streams: BTreeSet<&StreamId> = pending.iter().map(|pending| &pending.append.stream).collect();
    let streams: Vec<&StreamId> = streams.into_iter().collect();
    let keys: Vec<&CommandKey> = pending.iter().filter_map(|pending| pending.key.as_ref()).collect();
    // Polled in this order, and so sent in it.
    let ((), mut known) =
        try_join(client.batch_execute("BEGIN"), Known::read(client, statements, &streams, &keys)).await?;
    shared.knowledge.fence.learn(known.fence());
    let mut group = Group::default();
    let decide = |pending: &'a PendingAppend| group.decide(&mut known, &pending.append, pending.key.as_ref());
    let outcomes = pending.iter().map(decide).collect();
    Ok((group, outcomes))
}

/// Why a group is not known to be committed.
enum Ended {
    /// A statement failed, or COMMIT was refused: nothing is stored.
    RolledBack(Error),
    /// The connection went away, or the server ended it, while COMMIT was on its way.
    Unknown(Error),
}

/// Writes the group and commits: one exchange with the server. COMMIT is sent behind the writes without waiting for them: where
/// one of them failed, the server makes a ROLLBACK of it.
async fn commit(
    client: &Client,
    statements: &Statements,
    group: &Group<'_>,
    announced: bool,
) -> Result<(), Ended> {
    let write = group.write(client, statements, announced).map_err(|error| match error.as_db_error() {
        Some(_) => Ended::RolledBack(error),
        None => Ended::Unknown(error),
    });
    let commit = client.batch_execute("COMMIT").map_err(|error| match is_lost(&error) {
        true => Ended::Unknown(error),
        false => Ended::RolledBack(error),
    });
    try_join(write, commit).await.map(drop)
}

/// Ends the transaction, should there still be one. A connection that cannot do that is not used again.
async fn roll_back(client: &Client) {
    if let Err(error) = client.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "a transaction ended with its connection");
    }
}
