//! Statements of users on a connection: what they answer with, and those that are not a user's to say.

use crate::bind::{bind, numbers};
use crate::error::first_line;
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
