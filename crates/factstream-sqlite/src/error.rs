//! What SQLite reports, in the words of the port.

use factstream_core::store::StoreError;
use rusqlite::{Error, ErrorCode};
use std::path::Path;

/// The error of a statement that may write.
///
/// Which codes say that the file is at fault, and so nothing about the statement: all that name the file, its disk or the
/// memory. A constraint, a type, the syntax are the statement's.
pub(crate) fn of_statement(sql: &str, error: &Error) -> StoreError {
    let text = error.to_string();
    let unusable = |reason: String| StoreError::Unusable { what: "the SQLite file".into(), reason };
    match error.sqlite_error_code() {
        // Within this process: a statement of the same transaction still reads, or the tables are being changed.
        Some(ErrorCode::DatabaseLocked | ErrorCode::SchemaChanged) => StoreError::Contention(text),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
            StoreError::Disk(text)
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::OutOfMemory | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy(text)
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => unusable(format!(
            "it is damaged ({text}); restore it from a backup, or recover it with sqlite3's .recover"
        )),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::Unavailable {
            problem: format!("the SQLite file cannot be written ({text})"),
            advice: "let the service's user write the file and its folder (chown, chmod, mount -o remount,rw); if the file was \
                     moved or replaced, start the service again"
                .into(),
        },
        Some(ErrorCode::NoLargeFileSupport) => {
            unusable(format!("it is too large for this system ({text}); move it to a file system that can hold it"))
        }
        _ => refused(text, sql, error),
    }
}

/// The error of a statement on a connection that only reads: there it is the statement's fault when it writes.
pub(crate) fn of_reading(sql: &str, error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => {
            refused(format!("{error}; only statements that read are run here"), sql, error)
        }
        _ => of_statement(sql, error),
    }
}

fn refused(message: String, sql: &str, error: &Error) -> StoreError {
    // As SQLite says it: "UNIQUE constraint failed: orders.id".
    let constraint =
        is_constraint(error).then(|| Some(message.split_once("failed: ")?.1.to_owned())).flatten();
    let sqlstate = error.sqlite_error().and_then(|error| sqlstate(error.extended_code)).map(str::to_owned);
    StoreError::Statement { message, sql: first_line(sql), sqlstate, constraint }
}

/// The code that the SQL standard and PostgreSQL have for what a constraint refuses.
fn sqlstate(extended_code: i32) -> Option<&'static str> {
    use rusqlite::ffi;
    Some(match extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            "23505"
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "23503",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "23502",
        ffi::SQLITE_CONSTRAINT_CHECK => "23514",
        code if code & 0xff == ffi::SQLITE_CONSTRAINT => "23000",
        _ => return None,
    })
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

/// The file, or its write-ahead log, is not the one any more that was opened.
pub(crate) fn displaced(path: &Path) -> StoreError {
    StoreError::Unusable {
        what: path.display().to_string(),
        reason: "it was removed or replaced while it was open, so what was written just now may be lost and is not \
                 acknowledged; stop every process of this store, put the file and its -wal back, then start them again"
            .into(),
    }
}

/// The file cannot be written.
pub(crate) fn read_only(path: &Path) -> StoreError {
    StoreError::Unusable {
        what: path.display().to_string(),
        reason: "the file or its folder cannot be written; a store needs both. Nothing was changed".into(),
    }
}

/// A statement's first line that is not a comment, shortened.
pub(crate) fn first_line(sql: &str) -> String {
    let line = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    line.unwrap_or_default().chars().take(120).collect()
}
