//! A session of somebody else in the store, which writes or stands idle where it should not.

use rusqlite::Connection;
use std::thread;
use std::time::Duration;

/// How long SQLite is asked for its lock: services take it without a pause.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session on either engine.
pub(crate) enum Session {
    Sqlite(Connection),
    Postgres(postgres::Client),
}

impl Session {
    /// Opens one.
    pub(crate) fn open(store: &str) -> Result<Self, String> {
        let Some(path) = store.strip_prefix("sqlite://") else {
            return postgres::Client::connect(store, postgres::NoTls).map(Self::Postgres).map_err(text);
        };
        let connection = Connection::open(path).map_err(text)?;
        connection.busy_timeout(PATIENCE).map_err(text)?;
        Ok(Self::Sqlite(connection))
    }

    /// Runs statements.
    pub(crate) fn run(&mut self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql).map_err(text),
            Self::Postgres(client) => client.batch_execute(sql).map_err(text),
        }
    }

    /// Statements in one transaction that holds the locks of writers.
    pub(crate) fn transact(&mut self, sql: &str) -> Result<(), String> {
        let begin = if matches!(self, Self::Sqlite(_)) { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.run(&format!("{begin};\n{sql};\nCOMMIT"))
    }

    /// Idle in a transaction that holds the lock which every append needs.
    pub(crate) fn hold_lock(mut self, time: Duration) -> Result<(), String> {
        self.run(match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN; SELECT head FROM fs_log WHERE id = 1 FOR UPDATE",
        })?;
        thread::sleep(time);
        self.run("ROLLBACK")
    }

    /// Reads in a transaction that lasts: SQLite cannot checkpoint past it.
    pub(crate) fn read_long(mut self, time: Duration) -> Result<(), String> {
        self.run("BEGIN; SELECT count(*) FROM fs_checkpoints")?;
        thread::sleep(time);
        self.run("ROLLBACK")
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
