//! What makes a file a store: the checks, the pragmas, the tables.
//!
//! Invariant: a file that is not ours is left as it was. It is looked at before anything is written.

use crate::error;
use crate::options::Options;
use crate::patience;
use factstream_core::sql::{format_timestamp, now};
use factstream_core::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::cmp::Ordering;
use std::path::Path;
use std::time::Instant;

/// "fact", in the header of every store.
const APPLICATION_ID: i32 = 0x6661_6374;
const COMPONENT: &str = "store";
const MIGRATIONS: &[&str] = &[
    include_str!("../sql/0001_store.sql"),
    include_str!("../sql/0002_head.sql"),
    include_str!("../sql/0003_horizons.sql"),
];
/// Statements kept ready in each connection.
const STATEMENTS_MAX: usize = 128;
/// The write-ahead log shrinks to this when it is reset.
const WAL_BYTES: i64 = 64 * 1024 * 1024;

/// Opens the writing connection, and makes the file a store if it is new.
pub(crate) fn writer(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    check_place(path)?;
    if !options.makes_tables {
        check_made(path)?;
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |error: rusqlite::Error| error::of_open(path, &error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
    patience::give(&connection, options.busy_timeout).map_err(open)?;
    let ours = is_ours(&connection, path)?;
    if connection.is_readonly("main").map_err(open)? {
        return Err(error::read_only(path));
    }
    if !ours {
        check_empty(&connection, path)?;
    }
    wal(&connection, path, options)?;
    for (pragma, value) in [
        ("synchronous", 2),
        ("foreign_keys", 1),
        ("mmap_size", 0),
        ("temp_store", 2),
        ("journal_size_limit", WAL_BYTES),
    ] {
        connection.pragma_update(None, pragma, value).map_err(open)?;
    }
    keep_statements(&connection).map_err(open)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Refuses a file that this release has not made a store of. Nothing is changed.
fn check_made(path: &Path) -> Result<(), StoreError> {
    let not_made = |reason: &str| {
        let reason = format!("{reason}; start the application, which sees to that, then look again");
        Err(StoreError::Unusable { what: path.display().to_string(), reason })
    };
    if !path.exists() {
        return not_made("there is no such store yet");
    }
    let open = |error: rusqlite::Error| error::of_open(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    let (found, known) = (version(&connection).map_err(open)?, MIGRATIONS.len() as u32);
    match (is_ours(&connection, path)?, found.cmp(&known)) {
        (true, Ordering::Equal) => Ok(()),
        (true, Ordering::Greater) => {
            Err(StoreError::Newer { what: path.display().to_string(), found, known })
        }
        (true, Ordering::Less) => not_made("its tables are of an earlier release"),
        (false, _) => not_made("the file is not a store"),
    }
}

/// Opens a reading connection on a store.
pub(crate) fn reader(path: &Path, options: &Options) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |error: rusqlite::Error| error::of_open(path, &error);
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(options.busy_timeout).map_err(open)?;
    connection.pragma_update(None, "query_only", 1).map_err(open)?;
    connection.pragma_update(None, "mmap_size", 0).map_err(open)?;
    keep_statements(&connection).map_err(open)?;
    Ok(connection)
}

/// Statements are prepared once. SQLite would prepare one again whenever another value is bound where it looks at values to
/// plan, and it looks at that of a LIMIT.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn check_place(path: &Path) -> Result<(), StoreError> {
    let unusable = |reason: String| Err(StoreError::Unusable { what: path.display().to_string(), reason });
    // SQLite takes these as databases in memory or as URIs: each connection might have another one.
    let text = path.to_string_lossy();
    if text.is_empty() || text == ":memory:" || text.starts_with("file:") {
        return unusable("it names no file; a store needs one of its own, for example orders.db".into());
    }
    if path.is_dir() {
        return unusable("it is a folder; name a file in it, for example orders.db".into());
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if !parent.is_dir() => {
            unusable(format!("its folder {} does not exist; make it first", parent.display()))
        }
        _ => Ok(()),
    }
}

fn is_ours(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    Ok(mark(connection, path)? == APPLICATION_ID)
}

/// The application whose database it is; 0 when it does not say.
fn mark(connection: &Connection, path: &Path) -> Result<i32, StoreError> {
    connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(|error| error::of_open(path, &error))
}

fn check_empty(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM sqlite_schema";
    let count: i64 =
        connection.query_row(sql, [], |row| row.get(0)).map_err(|error| error::of_open(path, &error))?;
    // Another process may just have made it ours.
    match mark(connection, path)? {
        APPLICATION_ID => return Ok(()),
        0 if count == 0 => return Ok(()),
        _ => {}
    }
    Err(StoreError::Unusable {
        what: path.display().to_string(),
        reason: "it is another application's database; name another file. Nothing was changed".into(),
    })
}

/// Write-ahead logging. Several processes that open a new file at once get in each other's way here: tried again.
fn wal(connection: &Connection, path: &Path, options: &Options) -> Result<(), StoreError> {
    let deadline = Instant::now() + options.busy_timeout;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Err(error) if !is_busy(&error) || Instant::now() >= deadline => {
                return Err(error::of_open(path, &error));
            }
            Ok(mode) if Instant::now() >= deadline => {
                let reason = format!(
                    "write-ahead logging cannot be switched on (it stays in mode {mode}); a store needs a local \
                     filesystem with shared memory, not a network share"
                );
                return Err(StoreError::Unusable { what: path.display().to_string(), reason });
            }
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

/// Brings the tables to this build's version, in one transaction under the write lock.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let open = |error: rusqlite::Error| error::of_open(path, &error);
    let known = MIGRATIONS.len() as u32;
    if version(connection).map_err(open)? == known && is_ours(connection, path)? {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open)?;
    let found = version(&tx).map_err(open)?;
    if found > known {
        return Err(StoreError::Newer { what: path.display().to_string(), found, known });
    }
    for (number, script) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        tx.execute_batch(script).map_err(open)?;
        let sql = "INSERT INTO fs_migrations (component, version, applied_at) VALUES (?1, ?2, ?3)";
        tx.execute(sql, params![COMPONENT, number, format_timestamp(now())]).map_err(open)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(open)?;
    tx.commit().map_err(open)
}

/// The schema version that the file has, 0 when it is new.
fn version(connection: &Connection) -> rusqlite::Result<u32> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'fs_migrations'";
    if connection.query_row(sql, [], |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    let sql = "SELECT coalesce(max(version), 0) FROM fs_migrations WHERE component = ?1";
    connection.query_row(sql, [COMPONENT], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_statement_is_prepared_once_whatever_limit_is_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (path, options) = (dir.path().join("store.db"), Options::default());
        let writer = writer(&path, &options).unwrap();
        let reader = reader(&path, &options).unwrap();
        for connection in [writer, reader] {
            let mut statement = connection.prepare_cached("SELECT position FROM events LIMIT ?1").unwrap();
            for limit in [1, 10, 100] {
                assert_eq!(statement.query([limit]).unwrap().next().unwrap().map(drop), None);
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
