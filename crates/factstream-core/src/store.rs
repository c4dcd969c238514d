//! The port to an event store, and to the transactions that everything else is written over.
//!
//! Three verbs on the log (append, read a stream, read the log), a read-only query, a transaction, and a wait for
//! news. Whatever can be written as SQL in a [`Transaction`] is not in this port.

use crate::envelope::{Position, RecordedEvent, StreamId, Version};
use crate::sql::{Params, Row, RowError, placeholders, quoted};
use async_trait::async_trait;
use jiff::Timestamp;
use std::any::Any;
use std::time::Duration;

pub use crate::append::{Append, Appended, Commit, Conflict, Expected, Outcome};
pub use crate::command_key::{CommandKey, FirstUse};
pub use crate::dependent::{Dependent, DependentKind};

/// How many bytes of events one read answers with, but for its last event: of large events fewer are read at once (G13).
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Takes events while a read may have more of them.
#[derive(Debug)]
pub struct Reading {
    events: Vec<RecordedEvent>,
    limit: usize,
    bytes: usize,
}

impl Reading {
    /// A read of at most `limit` events.
    pub fn new(limit: usize) -> Self {
        Self { events: Vec::new(), limit, bytes: 0 }
    }

    /// Whether it is at one of its limits.
    pub fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= READ_BYTES_MAX
    }

    /// Takes the next event.
    pub fn push(&mut self, event: RecordedEvent) {
        self.bytes += event.bytes();
        self.events.push(event);
    }

    /// What was read.
    pub fn events(self) -> Vec<RecordedEvent> {
        self.events
    }
}

/// An event store with the guarantees G1 to G4: what one engine (SQLite, PostgreSQL) implements.
///
/// Implementors hold connections to one database whose tables `events` and `fs_*` they have made ready. Every method
/// may be called from many tasks at once. None may block its caller's thread.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Appends to one stream, atomically and durably (G1), at its expected version (G2).
    ///
    /// With a `key`, the append takes effect once for as long as the key is on record (G4): it is recorded in the same
    /// transaction, and a repeat is answered with [`Outcome::Repeated`]. An append without events but with a key
    /// records the key.
    ///
    /// Engines commit appends that wait together in one transaction; one refused append does not touch its
    /// neighbours.
    ///
    /// # Errors
    /// [`StoreError`]: nothing of this append is stored, unless the error says that the outcome is unknown.
    async fn append(&self, append: Append, key: Option<CommandKey>) -> Result<Outcome, StoreError>;

    /// The events of a stream after `after`, in order, at most `limit`, and at most [`READ_BYTES_MAX`] bytes of them. None only
    /// where there are no more.
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// The events of the log after `after`, in order, at most `limit`, and at most [`READ_BYTES_MAX`] bytes of them. None only
    /// where there are no more. Never skips one that commits later (G3).
    async fn read_log(&self, after: Position, limit: usize) -> Result<Vec<RecordedEvent>, StoreError>;

    /// Runs one reading statement outside any transaction. Engines refuse one that writes.
    async fn query(&self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError>;

    /// Begins a transaction that can write.
    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError>;

    /// The time by the one clock that everything in the store goes by, to the microsecond: the server's, or the machine's of a
    /// database in a file. What is due, and how old something is, is told by it alone, whatever the clocks of processes say (G16).
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn clock(&self) -> Result<Timestamp, StoreError>;

    /// A number that changes when the log may have lost its newest events: a standby without them has taken over. What was
    /// remembered of the log under another number is not to be trusted any more.
    fn history(&self) -> u64 {
        0
    }

    /// The position of the newest event (0 in an empty log), as soon as it is beyond `after` or the time is over.
    ///
    /// News may come from this process or another; how fast is the engine's matter, that it comes is not.
    async fn wait_beyond(&self, after: Position, timeout: Duration) -> Result<Position, StoreError>;
}

/// A transaction that can write. Dropping it rolls it back.
#[async_trait]
pub trait Transaction: Send {
    /// Runs one writing statement; the number of rows it touched.
    async fn execute(&mut self, sql: &str, params: Params) -> Result<u64, StoreError>;

    /// Runs one writing statement for each set of parameters, in order; the rows that each touched.
    ///
    /// As if [`Transaction::execute`] were called for each, in one trip to the database.
    async fn execute_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError>;

    /// Runs one statement that answers with rows. Sees what this transaction wrote.
    async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError>;

    /// Writes rows of one table in the fastest way that the engine has, as if one INSERT were run for each.
    async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError>;

    /// What people have put on these tables, in the order in which it can be made again. A rebuild takes it off the tables that
    /// it replaces, and puts it on the new ones.
    ///
    /// An engine that does not know leaves it to the database to refuse, or to drop, what depends on a table.
    async fn dependents(&mut self, _tables: &[String]) -> Result<Vec<Dependent>, StoreError> {
        Ok(Vec::new())
    }

    /// Appends the events as the last statements, then commits, all or nothing.
    ///
    /// The position lock is taken here and nowhere earlier, so that a long transaction never holds up the log.
    /// [`Commit::Conflict`] has rolled everything back.
    async fn commit(self: Box<Self>, appends: Vec<Append>) -> Result<Commit, StoreError>;

    /// The engine's own transaction type, for `downcast_mut`: the way down to the native connection.
    fn as_any(&mut self) -> &mut dyn Any;
}

/// Rows to write into one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableRows {
    /// The table.
    pub table: String,
    /// The columns, in the order of each row's values.
    pub columns: Vec<String>,
    /// The values of each row.
    pub rows: Vec<Params>,
    /// The columns by which a row that is there already is replaced; they are the table's primary key, or unique, and no two of
    /// the rows have the same values there. Empty when none is there: one that is fails the whole.
    pub replace_by: Vec<usize>,
}

impl TableRows {
    /// The INSERT of one row, placeholders in the order of the columns.
    pub fn insert_sql(&self) -> String {
        self.insert_from(&format!("VALUES ({})", placeholders(1, self.columns.len())))
    }

    /// An INSERT of what `source` gives: `VALUES (..)` or a query.
    pub fn insert_from(&self, source: &str) -> String {
        let insert = format!("INSERT INTO {} ({}) {source}", quoted(&self.table), self.column_list());
        if self.replace_by.is_empty() {
            return insert;
        }
        let key: Vec<String> = self.replace_by.iter().map(|at| quoted(&self.columns[*at])).collect();
        let others = self.columns.iter().map(|column| quoted(column)).filter(|column| !key.contains(column));
        let sets: Vec<String> = others.map(|column| format!("{column} = excluded.{column}")).collect();
        let action =
            if sets.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", sets.join(", ")) };
        format!("{insert} ON CONFLICT ({}) DO {action}", key.join(", "))
    }

    /// The columns, quoted, as a statement lists them.
    pub fn column_list(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        columns.join(", ")
    }
}

/// What can go wrong with a store.
///
/// Three kinds, by what is to be done: the statement is at fault ([`StoreError::Statement`], [`StoreError::TimedOut`],
/// [`StoreError::Row`]), other work was in the way ([`StoreError::Contention`]: run the transaction again), or the store itself is
/// ([`StoreError::is_infrastructure`]: nothing that is asked of it now can work, whatever it is).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address does not name a store.
    #[error("the store's URL {url:?} cannot be used: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// The file or database is not a factstream store, is damaged or cannot be written.
    #[error("{what}: {reason}")]
    Unusable {
        /// Which store.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The tables were made by a newer factstream.
    #[error(
        "{what} was written by a newer factstream (schema {found}, this build knows {known}); run that version or a newer one"
    )]
    Newer {
        /// Which store.
        what: String,
        /// The schema version found.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// Another writer held the lock for too long. May be tried again.
    #[error("the store is busy: {0}; try again")]
    Busy(String),
    /// The disk is full or out of order. Nothing was stored; may be tried again when that is mended.
    #[error("the store cannot write: {0}; free disk space or mend the disk, then try again")]
    Disk(String),
    /// The database refuses to work as it is set up: a right is missing, it only reads, it has no such database any more. Nothing
    /// was stored; works again when that is mended.
    #[error("{problem}; {advice}")]
    Unavailable {
        /// What the database says.
        problem: String,
        /// What to do, for example the GRANT to run.
        advice: String,
    },
    /// Other work on the same rows was in the way: a deadlock, a serialization failure, a lock that was not given up in time.
    /// The transaction is rolled back; run it again.
    #[error("other work was in the way: {0}; run the transaction again")]
    Contention(String),
    /// A statement that the database refuses (its syntax, a constraint, a type).
    #[error("the database refuses the statement: {message} (in: {sql})")]
    Statement {
        /// What the database says.
        message: String,
        /// The statement's first line.
        sql: String,
        /// Why, as a code of the SQL standard; `None` where the engine has none. SQLite's constraints have PostgreSQL's codes.
        sqlstate: Option<String>,
        /// The constraint that it breaks, as the engine names it: PostgreSQL by its name, SQLite by table and columns.
        constraint: Option<String>,
    },
    /// An event that no store takes, for it could not be read or published. Nothing was stored.
    #[error("the event {event_type} of {stream} is not recorded: {reason}")]
    Unrecordable {
        /// The event's type.
        event_type: String,
        /// The stream.
        stream: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The transaction was rolled back because it took longer than allowed.
    #[error(
        "the transaction took longer than {limit:?} and was rolled back; do less in it, or wait outside it"
    )]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The reply to a commit was lost: it may or may not be stored.
    #[error("the outcome is unknown: {0}; ask again with the same key")]
    Unknown(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// A row does not look as factstream wrote it.
    #[error("a stored row cannot be read: {0}")]
    Row(#[from] RowError),
    /// Anything else that the engine reports.
    #[error("{0}")]
    Engine(String),
}

/// "unique_violation"
const UNIQUE_VIOLATION: &str = "23505";

impl StoreError {
    /// A statement that is refused before any database has seen it, or without a code.
    pub fn statement(message: impl Into<String>, sql: impl Into<String>) -> Self {
        Self::Statement { message: message.into(), sql: sql.into(), sqlstate: None, constraint: None }
    }

    /// Whether the same call may work later without anybody changing the code or the call.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::Disk(_)
                | Self::Unavailable { .. }
                | Self::Contention(_)
                | Self::TimedOut { .. }
                | Self::Unknown(_)
                | Self::Closed
                | Self::Engine(_)
        )
    }

    /// Whether the store itself is at fault, whatever is asked of it: it says nothing about the event or the command at hand.
    ///
    /// ```
    /// # use factstream_core::store::StoreError;
    /// let refused = StoreError::statement("duplicate key", "INSERT INTO invoices ..");
    /// let revoked = StoreError::Unavailable { problem: "permission denied".into(), advice: "GRANT it".into() };
    /// assert!(revoked.is_infrastructure() && !refused.is_infrastructure());
    /// ```
    pub fn is_infrastructure(&self) -> bool {
        match self {
            Self::Url { .. }
            | Self::Unusable { .. }
            | Self::Newer { .. }
            | Self::Busy(_)
            | Self::Disk(_)
            | Self::Unavailable { .. }
            | Self::Unknown(_)
            | Self::Closed => true,
            Self::Contention(_)
            | Self::Statement { .. }
            | Self::Unrecordable { .. }
            | Self::TimedOut { .. }
            | Self::Row(_)
            | Self::Engine(_) => false,
        }
    }

    /// The code of the SQL standard with which the database refuses the statement.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Statement { sqlstate, .. } => sqlstate.as_deref(),
            _ => None,
        }
    }

    /// The constraint that the statement breaks: its name on PostgreSQL, table and columns on SQLite.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Statement { constraint, .. } => constraint.as_deref(),
            _ => None,
        }
    }

    /// Whether a row with the same unique key is there already.
    pub fn is_unique_violation(&self) -> bool {
        self.sqlstate() == Some(UNIQUE_VIOLATION)
    }
}
