//! A transaction: its handle in the caller's task, and the loop on the writer thread that serves it.
//!
//! Invariants: from `BEGIN IMMEDIATE` to its end it is the only writer. Dropping the handle rolls back. It has a time
//! limit, after which it is rolled back and says so; once it has said so it is never committed. It never reports a commit
//! that did not happen: a statement that ended the transaction by itself (a full disk, a user's own ROLLBACK) is noticed
//! after each step.

use crate::append::{self, Appender};
use crate::bind::{bind, numbers};
use crate::error::{self, first_line};
use crate::rows;
use crate::watchdog::Stopper;
use crate::writer::{PendingBegin, Writer};
use async_trait::async_trait;
use factstream_core::recordable;
use factstream_core::sql::{Params, Row, code};
use factstream_core::store::{Append, Commit, Dependent, StoreError, TableRows, Transaction};
use rusqlite::Connection;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// What the writer gives to whoever began a transaction.
pub(crate) struct Session {
    steps: mpsc::Sender<Step>,
    stopper: Stopper,
    deadline: Instant,
    limit: Duration,
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

/// Serves one transaction on the writer thread, to its end.
pub(crate) fn serve(writer: &mut Writer, begin: PendingBegin) {
    if begin.is_closed() {
        return;
    }
    if let Err(error) = writer.connection.execute_batch("BEGIN IMMEDIATE") {
        writer.roll_back();
        let _ = begin.send(Err(error::of_engine(&error)));
        return;
    }
    let (steps, received) = mpsc::channel();
    let limit = writer.options.transaction_time_limit;
    let deadline = Instant::now() + limit;
    let stopper = writer.watchdog.begin(deadline);
    if begin.send(Ok(Session { steps, stopper, deadline, limit })).is_ok() {
        while let Ok(step) = received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // A step that waited behind one that took all the time is not taken: its caller is told by the drop.
            if Instant::now() >= deadline || take(writer, step) {
                break;
            }
        }
    }
    writer.watchdog.end();
    writer.roll_back();
}

/// Takes one step; `true` when the transaction has ended.
fn take(writer: &mut Writer, step: Step) -> bool {
    let connection = &writer.connection;
    match step {
        Step::Execute { sql, params, reply } => {
            let _ = reply.send(guarded(connection, || execute(connection, &sql, &params)));
            false
        }
        Step::Query { sql, params, reply } => {
            let run = || query(connection, &sql, &params, error::of_statement);
            let _ = reply.send(guarded(connection, run));
            false
        }
        Step::Native { run, done } => {
            let ran = guarded(connection, || {
                catch_unwind(AssertUnwindSafe(|| run(connection)))
                    .map_err(|_| StoreError::Engine("the native access panicked".into()))
            });
            let _ = done.send(ran);
            false
        }
        Step::Commit { appends, reply } => {
            writer.watchdog.end();
            let committed = commit(connection, &appends).and_then(|done| {
                writer.place.check()?;
                Ok(done)
            });
            if !matches!(committed, Ok((Commit::Committed(_), _))) {
                writer.roll_back();
            }
            let _ = reply.send(committed.map(|(commit, head)| {
                writer.news.tell(head);
                commit
            }));
            true
        }
    }
}

/// A step is taken only within the transaction, and must leave it open.
fn guarded<T>(
    connection: &Connection,
    step: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    check_open(connection)?;
    let result = step()?;
    check_open(connection)?;
    Ok(result)
}

fn check_open(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        let text = "the transaction has ended (rolled back after an error, or by a statement of its own); begin another";
        return Err(StoreError::Engine(text.into()));
    }
    Ok(())
}

fn execute(connection: &Connection, sql: &str, params: &[Params]) -> Result<Vec<u64>, StoreError> {
    refuse_control(sql)?;
    let failed = |error: rusqlite::Error| error::of_statement(sql, &error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    if statement.column_count() > 0 {
        // Refused before it runs: it would have written by the time that SQLite finds rows where none are wanted.
        let message = "it answers with rows; use query for it".to_owned();
        return Err(StoreError::statement(message, first_line(sql)));
    }
    let mut touched = Vec::with_capacity(params.len());
    for params in params {
        let numbers = numbers(&statement, sql, params.len())?;
        bind(&mut statement, &numbers, params).map_err(failed)?;
        let before = connection.total_changes();
        let changes = statement.raw_execute().map_err(failed)? as u64;
        // A statement that is no INSERT, UPDATE or DELETE leaves the count of the one before it.
        touched.push(if connection.total_changes() == before { 0 } else { changes });
    }
    Ok(touched)
}

/// The rows that a statement answers with; `of_error` says whose fault an error is on this connection.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    params: &Params,
    of_error: fn(&str, &rusqlite::Error) -> StoreError,
) -> Result<Vec<Row>, StoreError> {
    refuse_control(sql)?;
    let failed = |error: rusqlite::Error| of_error(sql, &error);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let numbers = numbers(&statement, sql, params.len())?;
    bind(&mut statement, &numbers, params).map_err(failed)?;
    rows::collect(statement.raw_query()).map_err(failed)
}

/// What begins and ends a transaction, or changes the connection for those who come after, is not a user's to say.
fn refuse_control(sql: &str) -> Result<(), StoreError> {
    let mut words =
        code(sql, false).split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let (word, next) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if word.eq_ignore_ascii_case("CREATE")
        && ["TEMP", "TEMPORARY"].iter().any(|temp| next.eq_ignore_ascii_case(temp))
    {
        let message = "a temporary object is not allowed here: it would outlive the transaction on the store's connection; \
                       make a table, and drop it in the end";
        return Err(StoreError::statement(message, first_line(sql)));
    }
    let control = [
        "BEGIN",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT",
        "RELEASE",
        "ATTACH",
        "DETACH",
        "PRAGMA",
        "VACUUM",
    ];
    if control.iter().any(|control| word.eq_ignore_ascii_case(control)) {
        let message = format!("{word} is not allowed here: the transaction is the store's to begin and end");
        return Err(StoreError::statement(message, first_line(sql)));
    }
    Ok(())
}

fn commit(connection: &Connection, appends: &[Append]) -> Result<(Commit, u64), StoreError> {
    check_open(connection)?;
    let failed = |error: rusqlite::Error| error::of_engine(&error);
    let mut head = append::head(connection).map_err(failed)?;
    let mut appender = Appender::new(connection).map_err(failed)?;
    let mut appended = Vec::with_capacity(appends.len());
    for append in appends {
        match appender.append_events(&mut head, append).map_err(failed)? {
            Ok(done) => appended.push(done),
            Err(conflict) => return Ok((Commit::Conflict(conflict), 0)),
        }
    }
    connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(failed)?;
    Ok((Commit::Committed(appended), head))
}
