//! SQLite's rows as the port's rows, and rows of the log as events.

use factstream_core::envelope::RecordedEvent;
use factstream_core::sql::{Row, Value};
use factstream_core::store::Reading;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Error, Result, Rows};
use std::str::FromStr;
use std::sync::Arc;

/// All rows of an answer.
///
/// The columns are asked for with the first row: stepping prepares a cached statement anew when the schema has changed.
pub(crate) fn collect(mut rows: Rows<'_>) -> Result<Vec<Row>> {
    let mut collected = Vec::new();
    let mut known: Option<Arc<[String]>> = None;
    while let Some(row) = rows.next()? {
        let columns = known.get_or_insert_with(|| names(row));
        let mut values = Vec::with_capacity(columns.len());
        for at in 0..columns.len() {
            values.push(value(row.get_ref(at)?, at)?);
        }
        collected.push(Row::new(Arc::clone(columns), values));
    }
    Ok(collected)
}

fn names(row: &rusqlite::Row<'_>) -> Arc<[String]> {
    row.as_ref().column_names().into_iter().map(str::to_owned).collect()
}

fn value(value: ValueRef<'_>, at: usize) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(utf8(text, at)?.to_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

fn utf8(bytes: &[u8], at: usize) -> Result<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// Events of an answer, as many as one read may have.
pub(crate) fn events(mut rows: Rows<'_>, limit: usize) -> Result<Vec<RecordedEvent>> {
    let mut reading = Reading::new(limit);
    while !reading.is_full()
        && let Some(row) = rows.next()?
    {
        reading.push(event(row)?);
    }
    Ok(reading.events())
}

/// A row of `events`, its columns in the order of the `select_*.sql` files.
fn event(row: &rusqlite::Row<'_>) -> Result<RecordedEvent> {
    Ok(RecordedEvent {
        position: row.get::<_, i64>(0)?.cast_unsigned(),
        aggregate_type: row.get(1)?,
        aggregate_id: row.get(2)?,
        version: row.get::<_, i64>(3)?.cast_unsigned(),
        event_id: parsed(row, 4)?,
        event_type: row.get(5)?,
        schema_version: row.get(6)?,
        data: row.get(7)?,
        metadata: row.get(8)?,
        timestamp: parsed(row, 9)?,
    })
}

fn parsed<T>(row: &rusqlite::Row<'_>, at: usize) -> Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = row.get_ref(at)?.as_str()?;
    text.parse().map_err(|error: T::Err| Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}
