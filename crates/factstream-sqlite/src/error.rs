//! What SQLite reports, in the words of the port.

use factstream_core::store::StoreError;
use rusqlite::{Error, ErrorCode};
use std::path::Path;

/// The error of a statement.
pub(crate) fn of_statement(sql: &str, error: &Error) -> StoreError {
    let code = error.sqlite_error_code();
    let text = error.to_string();
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(text),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            StoreError::Disk(text)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unusable {
            what: "the SQLite file".into(),
            reason: format!(
                "it is damaged ({text}); restore it from a backup, or recover it with sqlite3's .recover"
            ),
        },
        Some(ErrorCode::ReadOnly) => StoreError::Statement {
            message: format!("{text}; reading statements only, or the file cannot be written"),
            sql: first_line(sql),
        },
        _ => StoreError::Statement { message: text, sql: first_line(sql) },
    }
}

/// The error of a step that is the engine's own, not a user's statement.
pub(crate) fn of_engine(error: &Error) -> StoreError {
    match of_statement("append", error) {
        // What breaks a rule of the tables breaks it again: a duplicate event id, for example.
        refused @ StoreError::Statement { .. } if is_constraint(error) => refused,
        StoreError::Statement { message, .. } => StoreError::Engine(message),
        other => other,
    }
}

fn is_constraint(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// The error of opening a file.
pub(crate) fn of_open(path: &Path, error: &Error) -> StoreError {
    let what = path.display().to_string();
    let unusable = |reason: String| StoreError::Unusable { what: what.clone(), reason };
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            unusable("it is not a SQLite database; name another file. Nothing was changed".into())
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            unusable(format!("the file is damaged ({error}); restore it from a backup"))
        }
        Some(ErrorCode::CannotOpen) => unusable(format!(
            "the file cannot be opened ({error}); check that its folder exists and can be written"
        )),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => read_only(path),
        _ => of_engine(error),
    }
}

/// The file cannot be written.
pub(crate) fn read_only(path: &Path) -> StoreError {
    StoreError::Unusable {
        what: path.display().to_string(),
        reason: "the file or its folder cannot be written; a store needs both. Nothing was changed".into(),
    }
}

/// The same error for another caller of the same commit.
pub(crate) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Busy(text) => StoreError::Busy(text.clone()),
        StoreError::Disk(text) => StoreError::Disk(text.clone()),
        StoreError::Closed => StoreError::Closed,
        StoreError::Statement { message, sql } => {
            StoreError::Statement { message: message.clone(), sql: sql.clone() }
        }
        StoreError::Unusable { what, reason } => {
            StoreError::Unusable { what: what.clone(), reason: reason.clone() }
        }
        other => StoreError::Engine(other.to_string()),
    }
}

/// A statement's first line that is not a comment, shortened.
pub(crate) fn first_line(sql: &str) -> String {
    let line = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    line.unwrap_or_default().chars().take(120).collect()
}
