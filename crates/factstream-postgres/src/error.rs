//! What PostgreSQL reports, in the words of the port.

use crate::sqlstate::{Fault, fault};
use crate::tls;
use factstream_core::store::StoreError;
use std::time::Duration;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Error, Statement};

/// The error of a statement.
pub(crate) fn of_statement(sql: &str, error: &Error) -> StoreError {
    let Some(db) = error.as_db_error() else { return of_connection(error) };
    let text = db_text(db);
    match fault(db) {
        Fault::Statement | Fault::Slow => refused(text, sql, db),
        Fault::Contention => StoreError::Contention(text),
        Fault::Passing => StoreError::Busy(text),
        Fault::Disk => StoreError::Disk(text),
        Fault::Setup(advice) => advice.unavailable(text, sql),
    }
}

/// The error of a statement that may take only so long.
pub(crate) fn of_limited(limit: Duration, sql: &str, error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(db) if fault(db) == Fault::Slow => StoreError::TimedOut { limit },
        _ => of_statement(sql, error),
    }
}

/// The error of a statement on a connection that only reads: there it is the statement's fault when it writes.
pub(crate) fn of_reading(limit: Duration, sql: &str, error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(db) if db.code() == &SqlState::READ_ONLY_SQL_TRANSACTION => {
            refused(format!("{}; only statements that read are run here", db_text(db)), sql, db)
        }
        _ => of_limited(limit, sql, error),
    }
}

fn refused(message: String, sql: &str, db: &DbError) -> StoreError {
    StoreError::Statement {
        message,
        sql: first_line(sql),
        sqlstate: Some(db.code().code().to_owned()),
        constraint: db.constraint().map(str::to_owned),
    }
}

/// The error of an append, which waits for the log's lock; for how long, when that is ours to say.
pub(crate) fn of_append(lock_timeout: Option<Duration>, error: &Error) -> StoreError {
    match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => StoreError::Busy(format!(
            "another session has held the log's lock, the row of fs_log, for longer than {limit}; find it among the \
             sessions in a transaction in pg_stat_activity, and end it there or with pg_terminate_backend(pid)",
            limit = lock_timeout.map_or("lock_timeout allows".into(), |limit| format!("{limit:?}"))
        )),
        // The limit on statements, when it is shorter than the one on locks.
        Some(&SqlState::QUERY_CANCELED) => StoreError::Busy(format!(
            "the append was ended by the server ({error}); it took too long, or waited too long for the log's lock, \
             the row of fs_log: see pg_stat_activity",
            error = error.as_db_error().map(db_text).unwrap_or_default()
        )),
        _ => of_statement("append", error),
    }
}

/// The server is starting, stopping, out of connections, or was cut off: it will pass.
pub(crate) fn is_passing(db: &DbError) -> bool {
    fault(db) == Fault::Passing
}

/// What the server says, without values: the detail of a violated constraint shows the row, and a value that does not fit is quoted.
/// Both may be personal data, and reasons are kept and logged.
fn db_text(db: &DbError) -> String {
    let class = db.code().code().get(..2).unwrap_or_default();
    if matches!(class, "22" | "23") {
        return if class == "22" { without_quoted(db.message()) } else { db.message().to_owned() };
    }
    let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}", db.message())
}

/// A message without what stands in quotes.
fn without_quoted(message: &str) -> String {
    let parts = message.split('"').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part } else { "\"..\"" }).collect()
}

/// The error of a connection, or of values that do not fit.
fn of_connection(error: &Error) -> StoreError {
    let cause = cause(error);
    let text = format!("{error}{cause}");
    if error.is_closed() || cause.contains("connection") || text.contains("error communicating") {
        return StoreError::Busy(format!("the connection to PostgreSQL is lost ({text})"));
    }
    StoreError::statement(text, "")
}

/// An error that has no better name.
pub(crate) fn engine(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string())
}

/// What an error says when the role or the server has no more connections.
pub(crate) const TOO_MANY: &str = "no more connections are allowed";

/// No connection could be made.
pub(crate) fn of_connecting(place: &str, error: &Error) -> StoreError {
    let unusable = |reason: String| StoreError::Unusable { what: place.to_owned(), reason };
    if let Some(db) = error.as_db_error() {
        let text = db_text(db);
        return match *db.code() {
            SqlState::TOO_MANY_CONNECTIONS => StoreError::Busy(format!(
                "{place}: {TOO_MANY} ({text}); raise max_connections or the role's CONNECTION LIMIT, or say connections=N in \
                 the URL, at least 4 for each process"
            )),
            _ if is_passing(db) => StoreError::Busy(format!("{place}: {text}")),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => unusable(format!(
                "{text}; if the server demands TLS, use sslmode=require or verify-full in the URL, else see its pg_hba.conf"
            )),
            SqlState::INVALID_PASSWORD => {
                unusable(format!("{text}; check the user and password in the URL, special characters as %XX"))
            }
            _ => unusable(text),
        };
    }
    if let Some(reason) = tls::advice(error) {
        return unusable(reason);
    }
    let text = format!("{error}{}", cause(error));
    let is_io = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    let advice = if is_io || error.is_closed() {
        None
    } else if text.contains("does not support TLS") {
        Some("set ssl = on in its postgresql.conf, or use sslmode=disable on a network that you trust")
    } else if text.contains("password missing") {
        Some("the server asks for one; write postgres://USER:PASSWORD@HOST/DATABASE")
    } else if ["authentication", "invalid configuration"].iter().any(|word| text.starts_with(word)) {
        Some("check the URL")
    } else {
        None
    };
    match advice {
        Some(advice) => unusable(format!("{text}; {advice}")),
        None => StoreError::Busy(format!("{place} cannot be reached ({text})")),
    }
}

/// What is behind an error of the driver.
fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

/// A statement's first line that is not a comment, shortened.
pub(crate) fn first_line(sql: &str) -> String {
    let line = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    line.unwrap_or_default().chars().take(120).collect()
}

/// Refuses a number of parameters that does not fit.
pub(crate) fn check_count(statement: &Statement, sql: &str, given: usize) -> Result<(), StoreError> {
    let wanted = statement.params().len();
    if wanted == given {
        return Ok(());
    }
    let message = format!("it takes {wanted} parameters, but {given} are given");
    Err(StoreError::statement(message, first_line(sql)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_is_not_quoted() {
        let message = "invalid input syntax for type integer: \"Jane Doe\"";
        assert_eq!(without_quoted(message), "invalid input syntax for type integer: \"..\"");
        assert_eq!(without_quoted("cut \"off"), "cut \"..\"");
    }
}
