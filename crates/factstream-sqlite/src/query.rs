//! Statements of users on a connection: what they answer with, and those that are not a user's to say.

use crate::bind::{bind, numbers};
use crate::error::{self, first_line};
use crate::rows;
use factstream_core::sql::{Params, Row, code};
use factstream_core::store::StoreError;
use rusqlite::Connection;

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

/// A step is taken only within the transaction, and must leave it open.
pub(crate) fn guarded<T>(
    connection: &Connection,
    step: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    check_open(connection)?;
    let result = step()?;
    check_open(connection)?;
    Ok(result)
}

pub(crate) fn check_open(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        let text = "the transaction has ended (rolled back after an error, or by a statement of its own); begin another";
        return Err(StoreError::Engine(text.into()));
    }
    Ok(())
}

pub(crate) fn execute(connection: &Connection, sql: &str, params: &[Params]) -> Result<Vec<u64>, StoreError> {
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

/// What begins and ends a transaction, or changes the connection for those who come after, is not a user's to say.
pub(crate) fn refuse_control(sql: &str) -> Result<(), StoreError> {
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
