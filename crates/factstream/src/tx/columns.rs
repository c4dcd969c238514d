//! The columns and the key of a read model, as SQL names them.

use factstream_core::read_model::ReadModel;
use factstream_core::sql::{placeholders, quoted};

/// A column of a table, both quoted. SQLite takes a lone name in quotes for a text when there is no such column.
pub(crate) fn column_of(table: &str, column: &str) -> String {
    format!("{table}.{}", quoted(column))
}

/// The condition that a row has this key, whose parameters begin with `$first`.
pub(crate) fn with_key<R: ReadModel>(table: &str, first: usize) -> String {
    let parts = R::KEY.iter().zip(first..);
    let parts: Vec<String> =
        parts.map(|(key, at)| format!("{} = ${at}", column_of(table, R::COLUMNS[*key].name))).collect();
    parts.join(" AND ")
}

/// The condition that a row has one of so many keys.
pub(crate) fn with_one_of_keys<R: ReadModel>(table: &str, keys: usize) -> String {
    if let [key] = R::KEY {
        return format!("{} IN ({})", column_of(table, R::COLUMNS[*key].name), placeholders(1, keys));
    }
    let parts = (0..keys).map(|at| format!("({})", with_key::<R>(table, at * R::KEY.len() + 1)));
    parts.collect::<Vec<String>>().join(" OR ")
}

/// The columns of a read model, as a SELECT from a quoted table lists them.
pub(crate) fn column_list<R: ReadModel>(table: &str) -> String {
    let columns: Vec<String> = R::COLUMNS.iter().map(|column| column_of(table, column.name)).collect();
    columns.join(", ")
}
