//! A transaction: its handle in the caller's task. Quick statements run there, the others, and every beginning and end, on the writer
//! thread.
//!
//! Invariants: from `BEGIN IMMEDIATE` to its end it is the only writer. Dropping the handle rolls back. It has a time
//! limit, after which it is rolled back and says so; once it has said so it is never committed. It never reports a commit
//! that did not happen.

use crate::desk::Desk;
use crate::error;
use crate::pace::QUICK_ROWS_MAX;
use crate::query::{execute, guarded, query};
use crate::watchdog::Stopper;
use async_trait::async_trait;
use factstream_core::recordable;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{Append, Commit, Dependent, StoreError, TableRows, Transaction};
use rusqlite::Connection;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
type Work = Box<dyn FnOnce(&Connection) + Send>;

pub(crate) enum Step {
    Run(Work),
    Commit { appends: Vec<Append>, reply: Reply<Commit> },
}

/// Whoever wants to begin a transaction.
pub(crate) type PendingBegin = oneshot::Sender<Result<Session, StoreError>>;

/// What the writer gives to whoever began a transaction.
pub(crate) struct Session {
    pub(crate) desk: Arc<Desk>,
    pub(crate) number: u64,
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
        let run = move |connection: &Connection| {
            catch_unwind(AssertUnwindSafe(|| work(connection)))
                .map_err(|_| StoreError::Engine("the native access panicked".into()))
        };
        self.on_writer(run).await?.map_err(|error| error::of_statement("native access", &error))
    }

    /// Runs a statement for so many rows.
    async fn statement<T, F>(&mut self, sql: &str, rows: usize, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> Result<T, StoreError> + Send + 'static,
    {
        let (desk, is_small) = (Arc::clone(&self.session.desk), rows <= QUICK_ROWS_MAX);
        if is_small && desk.pace.is_quick(sql) {
            return self.here(&desk, sql, run).await;
        }
        let sql = sql.to_owned();
        self.on_writer(move |connection| {
            let began = Instant::now();
            let result = run(connection, &sql);
            if is_small {
                desk.pace.took(&sql, began.elapsed());
            }
            result
        })
        .await
    }

    /// Runs a statement in this task.
    async fn here<T>(
        &mut self,
        desk: &Desk,
        sql: &str,
        run: impl FnOnce(&Connection, &str) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        consume_budget().await; // other tasks have their turn in a transaction of many statements
        if self.over {
            return Err(self.ended());
        }
        let began = Instant::now();
        let result =
            desk.within(self.session.number, |connection| guarded(connection, || run(connection, sql)));
        desk.pace.took(sql, began.elapsed());
        match result {
            Some(answer) => self.in_time(answer),
            None => Err(self.ended()),
        }
    }

    /// Runs something on the writer thread.
    async fn on_writer<T, F>(&mut self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let _ = reply.send(guarded(connection, || run(connection)));
        });
        if self.over || self.session.steps.send(Step::Run(work)).is_err() {
            return Err(self.ended());
        }
        self.running = true;
        let Ok(answer) = tokio::time::timeout_at(self.session.deadline.into(), answer).await else {
            return Err(self.time_is_over()); // the watchdog stops what still runs
        };
        self.running = false;
        match answer {
            Ok(answer) => self.in_time(answer),
            Err(_) => Err(self.ended()),
        }
    }

    /// What the time limit interrupted says so, and not that it was interrupted.
    fn in_time<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match answer {
            Err(_) if Instant::now() >= self.session.deadline => Err(self.time_is_over()),
            answer => answer,
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
        self.statement(sql, params.len(), move |connection, sql| execute(connection, sql, &params)).await
    }

    async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.statement(sql, 1, move |connection, sql| query(connection, sql, &params, error::of_statement))
            .await
    }

    async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError> {
        if rows.rows.is_empty() {
            return Ok(());
        }
        let (sql, count) = (rows.insert_sql(), rows.rows.len());
        self.statement(&sql, count, move |connection, sql| execute(connection, sql, &rows.rows).map(drop))
            .await
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
