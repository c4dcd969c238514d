//! A transaction: its handle in the caller's task. What it asks for is done on the writer thread.
//!
//! Invariants: from `BEGIN IMMEDIATE` to its end it is the only writer. Dropping the handle rolls back. It has a time
//! limit, after which it is rolled back and says so; once it has said so it is never committed. It never reports a commit
//! that did not happen.

use crate::error;
use crate::watchdog::Stopper;
use async_trait::async_trait;
use factstream_core::recordable;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Append, Commit, Dependent, StoreError, TableRows, Transaction};
use rusqlite::Connection;
use std::any::Any;
use std::fmt;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
type Native = Box<dyn FnOnce(&Connection) + Send>;

pub(crate) enum Step {
    Execute { sql: String, params: Vec<Params>, reply: Reply<Vec<u64>> },
    Query { sql: String, params: Params, reply: Reply<Vec<Row>> },
    Native { run: Native, done: Reply<()> },
    Commit { appends: Vec<Append>, reply: Reply<Commit> },
}

/// Whoever wants to begin a transaction.
pub(crate) type PendingBegin = oneshot::Sender<Result<Session, StoreError>>;

/// What the writer gives to whoever began a transaction.
pub(crate) struct Session {
    pub(crate) steps: mpsc::Sender<Step>,
    pub(crate) stopper: Stopper,
    pub(crate) deadline: Instant,
    pub(crate) limit: Duration,
}

/// A transaction on a SQLite store.
///
/// Reach it from a handler's `Tx` with `tx.native::<SqliteTransaction>().await?`, and through it the connection itself.
pub struct SqliteTransaction {
    session: Session,
    /// Whether a statement may be running on the writer thread.
    running: bool,
    /// Whether the caller was told that its time is over.
    over: bool,
    event_bytes_max: usize,
}

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction").finish_non_exhaustive()
    }
}

impl SqliteTransaction {
    pub(crate) fn new(session: Session, event_bytes_max: usize) -> Self {
        Self { session, running: false, over: false, event_bytes_max }
    }

    /// Runs `work` on the writer's own connection, within this transaction.
    ///
    /// The time limit stops its statements, but cannot stop what it computes between them: keep that short.
    ///
    /// # Errors
    /// What `work` reports, or that it panicked.
    pub async fn with<T, F>(&mut self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (result, taken) = oneshot::channel();
        let run = Box::new(move |connection: &Connection| {
            let _ = result.send(work(connection));
        });
        self.step(|done| Step::Native { run, done }).await?;
        match taken.await {
            Ok(result) => result.map_err(|error| error::of_statement("native access", &error)),
            Err(_) => Err(StoreError::Engine("the native access panicked".into())),
        }
    }

    async fn step<T>(&mut self, step: impl FnOnce(Reply<T>) -> Step) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.over || self.session.steps.send(step(reply)).is_err() {
            return Err(self.ended());
        }
        self.running = true;
        let Ok(answer) = tokio::time::timeout_at(self.session.deadline.into(), answer).await else {
            return Err(self.time_is_over()); // the watchdog stops what still runs
        };
        self.running = false;
        match answer {
            // What the time limit interrupted says so, and not that it was interrupted.
            Ok(Err(_)) if Instant::now() >= self.session.deadline => Err(self.time_is_over()),
            Ok(answer) => answer,
            Err(_) => Err(self.ended()),
        }
    }

    fn time_is_over(&mut self) -> StoreError {
        self.over = true;
        self.timed_out()
    }

    fn ended(&self) -> StoreError {
        if self.over || Instant::now() >= self.session.deadline {
            self.timed_out()
        } else {
            StoreError::Closed
        }
    }

    fn timed_out(&self) -> StoreError {
        StoreError::TimedOut { limit: self.session.limit }
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if self.running {
            self.session.stopper.stop();
        }
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn execute(&mut self, sql: &str, params: Params) -> Result<u64, StoreError> {
        let touched = self.execute_many(sql, vec![params]).await?;
        Ok(touched.into_iter().sum())
    }

    async fn execute_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError> {
        let sql = sql.to_owned();
        self.step(|reply| Step::Execute { sql, params, reply }).await
    }

    async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        let sql = sql.to_owned();
        self.step(|reply| Step::Query { sql, params, reply }).await
    }

    async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError> {
        if rows.rows.is_empty() {
            return Ok(());
        }
        let sql = rows.insert_sql();
        self.step(|reply| Step::Execute { sql, params: rows.rows, reply }).await.map(drop)
    }

    async fn dependents(&mut self, tables: &[String]) -> Result<Vec<Dependent>, StoreError> {
        let rows =
            self.query(include_str!("../sql/select_dependents.sql"), vec![tables.join(",").into()]).await?;
        Ok(rows.iter().map(Dependent::of_row).collect::<Result<_, _>>()?)
    }

    async fn commit(mut self: Box<Self>, appends: Vec<Append>) -> Result<Commit, StoreError> {
        recordable::check(&appends, self.event_bytes_max)?;
        let (reply, answer) = oneshot::channel();
        if self.over || self.session.steps.send(Step::Commit { appends, reply }).is_err() {
            return Err(self.ended());
        }
        // Not bounded by the deadline and never interrupted: what was asked to commit is told how it ended.
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
