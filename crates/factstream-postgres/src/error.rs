//! What PostgreSQL reports, in the words of the port.

use deadpool_postgres::PoolError;
use factstream_core::store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// The error of a statement.
pub(crate) fn of_statement(sql: &str, error: &Error) -> StoreError {
    let Some(db) = error.as_db_error() else { return of_connection(error) };
    let text = db_text(db);
    let code = db.code();
    match code {
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE => StoreError::Busy(text),
        &SqlState::DISK_FULL | &SqlState::OUT_OF_MEMORY | &SqlState::IO_ERROR => StoreError::Disk(text),
        code if is_passing(code) => StoreError::Busy(text),
        _ => StoreError::Statement { message: text, sql: first_line(sql) },
    }
}

/// The server is starting, stopping, out of connections, or was cut off: it will pass.
fn is_passing(code: &SqlState) -> bool {
    ["57P", "08", "53"].iter().any(|class| code.code().starts_with(class))
}

fn db_text(db: &DbError) -> String {
    let detail = db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail}", db.message())
}

/// The error of a connection, or of values that do not fit.
fn of_connection(error: &Error) -> StoreError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    let text = format!("{error}{cause}");
    if error.is_closed() || cause.contains("connection") || text.contains("error communicating") {
        return StoreError::Busy(format!("the connection to PostgreSQL is lost ({text})"));
    }
    StoreError::Statement { message: text, sql: String::new() }
}

/// An error that has no better name.
pub(crate) fn engine(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Engine(error.to_string())
}

/// No connection could be had.
pub(crate) fn of_pool(place: &str, error: &PoolError) -> StoreError {
    let PoolError::Backend(error) = error else { return StoreError::Busy(format!("{place}: {error}")) };
    if let Some(db) = error.as_db_error() {
        let text = db_text(db);
        return match is_passing(db.code()) {
            true => StoreError::Busy(format!("{place}: {text}")),
            false => StoreError::Unusable { what: place.to_owned(), reason: text },
        };
    }
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    StoreError::Busy(format!("{place} cannot be reached ({error}{cause})"))
}

/// The same error for another caller of the same commit.
pub(crate) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Busy(text) => StoreError::Busy(text.clone()),
        StoreError::Disk(text) => StoreError::Disk(text.clone()),
        StoreError::Unknown(text) => StoreError::Unknown(text.clone()),
        StoreError::Statement { message, sql } => {
            StoreError::Statement { message: message.clone(), sql: sql.clone() }
        }
        other => StoreError::Engine(other.to_string()),
    }
}

/// A statement's first line that is not a comment, shortened.
pub(crate) fn first_line(sql: &str) -> String {
    let line = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    line.unwrap_or_default().chars().take(120).collect()
}
