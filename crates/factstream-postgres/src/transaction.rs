//! A transaction: a connection of its own until it ends.
//!
//! Invariants: events are inserted last, under the counter's lock. Dropping it rolls it back, whatever is under way: the
//! connection is closed rather than given back in an unknown state.

use crate::control::{leaves_traces, refuse_control};
use crate::error::{check_count, of_append, of_limited, of_statement};
use crate::group::{Group, Known};
use crate::lost_commit::{self, Mark, NOT_REPLICATED, is_lost};
use crate::pool::{Lent, Pool};
use crate::rows;
use crate::session::Session;
use crate::shared::Shared;
use crate::statements::Statements;
use crate::values::{parameters, references};
use crate::write_rows;
use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use factstream_core::envelope::{Position, StreamId};
use factstream_core::recordable;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{
    Append, Appended, Commit, Dependent, Outcome, StoreError, TableRows, Transaction,
};
use futures_util::future::{join, try_join_all};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use tokio_postgres::{GenericClient, Statement};

/// A transaction on a PostgreSQL store.
///
/// Reach it from a handler's `Tx` with `tx.native::<PostgresTransaction>().await?`, and through [`PostgresTransaction::client`] the
/// connection itself.
pub struct PostgresTransaction {
    /// Taken when the transaction has ended and the connection is fit for others.
    client: Option<Lent>,
    /// Where it came from, and where a lost commit is asked for.
    pool: Pool,
    shared: Arc<Shared>,
    /// Whether something was done that would outlive the transaction on its connection.
    leaves_traces: bool,
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction").finish_non_exhaustive()
    }
}

impl PostgresTransaction {
    pub(crate) async fn begin(pool: &Pool, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let tx = Self { client: Some(pool.get().await?), pool: pool.clone(), shared, leaves_traces: false };
        tx.wrapper()?.batch_execute("BEGIN").await.map_err(|error| of_statement("BEGIN", &error))?;
        Ok(tx)
    }

    /// The native connection, within this transaction. Do not end the transaction through it.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the transaction has ended.
    pub fn client(&self) -> Result<&tokio_postgres::Client, StoreError> {
        Ok(self.wrapper()?)
    }

    fn wrapper(&self) -> Result<&ClientWrapper, StoreError> {
        Ok(self.session()?)
    }

    fn session(&self) -> Result<&Session, StoreError> {
        self.client.as_deref().ok_or(StoreError::Closed)
    }

    async fn prepare(&self, sql: &str, given: usize) -> Result<Statement, StoreError> {
        let statement =
            self.wrapper()?.prepare_cached(sql).await.map_err(|error| self.failed(sql, &error))?;
        check_count(&statement, sql, given)?;
        Ok(statement)
    }

    fn failed(&self, sql: &str, error: &tokio_postgres::Error) -> StoreError {
        self.too_late(of_limited(self.shared.time_limit, sql, error))
    }

    /// The server ends a transaction that stands idle for too long by closing the connection: that is no fault of the store's.
    fn too_late(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Busy(_) if self.client.as_deref().is_some_and(Session::stood_idle) => {
                StoreError::TimedOut { limit: self.shared.time_limit }
            }
            error => error,
        }
    }

    async fn roll_back(mut self) -> Result<(), StoreError> {
        self.wrapper()?.batch_execute("ROLLBACK").await.map_err(|error| of_statement("ROLLBACK", &error))?;
        self.give_back();
        Ok(())
    }

    /// Back to the pool; closed when others would find traces on it.
    fn give_back(&mut self) {
        match self.client.take() {
            Some(client) if self.leaves_traces => drop(Lent::take(client)),
            client => drop(client),
        }
    }

    /// Commits. When the reply is lost, `mark` tells what happened.
    ///
    /// A COMMIT of a transaction that has failed rolls back and reports no error. So a question goes before it, in the same
    /// exchange, that such a transaction does not answer.
    async fn end(mut self, mark: Option<Mark>) -> Result<(), StoreError> {
        let client = self.session()?;
        let unreplicated = client.unreplicated();
        let (stands, committed) =
            join(client.batch_execute("SELECT 1"), client.batch_execute("COMMIT")).await;
        if let Err(error) = stands
            && error.as_db_error().is_some()
        {
            return Err(of_statement("COMMIT", &error));
        }
        let doubt = match committed {
            Ok(()) if client.unreplicated() == unreplicated => None,
            Ok(()) => Some(NOT_REPLICATED.to_owned()),
            Err(error) if is_lost(&error) => Some(of_statement("COMMIT", &error).to_string()),
            Err(error) => return Err(of_statement("COMMIT", &error)),
        };
        let Some(doubt) = doubt else {
            self.give_back();
            return Ok(());
        };
        if self.session()?.stood_idle() {
            return Err(StoreError::TimedOut { limit: self.shared.time_limit }); // before COMMIT came
        }
        let Some(mark) = mark else { return Err(StoreError::Unknown(doubt)) };
        let (shared, pool) = (Arc::clone(&self.shared), self.pool.clone());
        drop(self);
        lost_commit::ask(&pool, &shared, &mark).await.map(drop)
    }

    /// Locks the counter and inserts the events; the inner error is a conflict.
    async fn append(&self, appends: &[Append]) -> Result<Result<Placed, Outcome>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let lock_timeout = shared.lock_timeout;
        let failed = |error: tokio_postgres::Error| of_append(Some(lock_timeout), &error);
        let client = self.client.as_ref().ok_or(StoreError::Closed)?;
        let statements = Statements::kept(client).await.map_err(failed)?;
        let announce = || shared.announcements.take();
        append_within(&****client, &statements, appends, announce).await.map_err(failed)
    }
}

/// Events that are in a transaction, not yet committed.
pub(crate) struct Placed {
    pub(crate) appended: Vec<Appended>,
    /// The head of the log after them; `None` when there is no event.
    head: Option<Position>,
    /// Whether the commit announces them.
    announced: bool,
}

/// Locks the counter and inserts the events; when one append is refused, none is inserted.
pub(crate) async fn append_within(
    tx: &(impl GenericClient + Sync),
    statements: &Statements,
    appends: &[Append],
    announce: impl FnOnce() -> bool,
) -> Result<Result<Placed, Outcome>, tokio_postgres::Error> {
    let streams: Vec<&StreamId> = appends.iter().map(|append| &append.stream).collect();
    let mut known = Known::read(tx, statements, &streams, &[]).await?;
    let mut group = Group::default();
    let mut appended = Vec::with_capacity(appends.len());
    for append in appends {
        match group.decide(&mut known, append, None) {
            Outcome::Appended(done) => appended.push(done),
            other => return Ok(Err(other)),
        }
    }
    let head = group.head();
    let announced = head.is_some() && announce();
    group.write(tx, statements, announced).await?;
    Ok(Ok(Placed { appended, head, announced }))
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Not known where it stands: the server rolls back when the connection closes. What still runs is cancelled,
            // so that it does not hold its locks to the end.
            Lent::take(client).abandon(&self.shared.server);
        }
    }
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn execute(&mut self, sql: &str, params: Params) -> Result<u64, StoreError> {
        let touched = self.execute_many(sql, vec![params]).await?;
        Ok(touched.into_iter().sum())
    }

    async fn execute_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError> {
        let Some(given) = params.first().map(Vec::len) else { return Ok(Vec::new()) };
        refuse_control(sql)?;
        self.leaves_traces |= leaves_traces(sql);
        let statement = self.prepare(sql, given).await?;
        let (client, this) = (self.wrapper()?, &*self);
        // Sent one after the other without waiting in between, answered in the same order.
        let all = params.iter().map(|params| {
            let statement = &statement;
            async move {
                check_count(statement, sql, params.len())?;
                let parameters = parameters(params);
                let done = client.execute(statement, &references(&parameters)).await;
                done.map_err(|error| this.failed(sql, &error))
            }
        });
        try_join_all(all).await
    }

    async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        refuse_control(sql)?;
        self.leaves_traces |= leaves_traces(sql);
        let statement = self.prepare(sql, params.len()).await?;
        let parameters = parameters(&params);
        let found = self.wrapper()?.query(&statement, &references(&parameters)).await;
        rows::collect(&found.map_err(|error| self.failed(sql, &error))?)
    }

    async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError> {
        let written = write_rows::write(self.wrapper()?, &rows).await;
        written.map_err(|error| self.too_late(error))
    }

    async fn dependents(&mut self, tables: &[String]) -> Result<Vec<Dependent>, StoreError> {
        let rows =
            self.query(include_str!("../sql/select_dependents.sql"), vec![tables.join(",").into()]).await?;
        Ok(rows.iter().map(Dependent::of_row).collect::<Result<_, _>>()?)
    }

    async fn commit(mut self: Box<Self>, appends: Vec<Append>) -> Result<Commit, StoreError> {
        recordable::check(&appends, self.shared.event_bytes_max)?;
        let mut placed = Placed { appended: Vec::new(), head: None, announced: false };
        if !appends.is_empty() {
            match self.append(&appends).await.map_err(|error| self.too_late(error))? {
                Ok(done) => placed = done,
                Err(Outcome::Conflict(conflict)) => {
                    self.roll_back().await?;
                    return Ok(Commit::Conflict(conflict));
                }
                Err(other) => {
                    return Err(StoreError::Engine(format!("an append without a key came to {other:?}")));
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        let first_event = appends.iter().flat_map(|append| &append.events).next();
        self.end(first_event.map(|event| Mark::Event(event.event_id))).await?;
        if let Some(head) = placed.head {
            shared.committed(head, placed.announced);
        }
        Ok(Commit::Committed(placed.appended))
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
