//! PostgreSQL's rows as the port's rows, and rows of the log as events.

use crate::values::Time;
use factstream_core::envelope::RecordedEvent;
use factstream_core::sql::{Row, Value, format_timestamp};
use factstream_core::store::StoreError;
use std::error::Error;
use std::sync::Arc;
use tokio_postgres::types::{FromSql, Type};

/// All rows of an answer.
pub(crate) fn collect(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, StoreError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[String]> = first.columns().iter().map(|column| column.name().to_owned()).collect();
    rows.iter().map(|row| values(row).map(|values| Row::new(Arc::clone(&columns), values))).collect()
}

fn values(row: &tokio_postgres::Row) -> Result<Vec<Value>, StoreError> {
    let values = (0..row.len()).map(|at| row.try_get::<_, Answer>(at).map(|Answer(value)| value));
    values.collect::<Result<_, _>>().map_err(|error| {
        let cause = Error::source(&error).map(ToString::to_string).unwrap_or_default();
        StoreError::Engine(format!("an answer cannot be read: {error} {cause}"))
    })
}

/// A value of an answer, of whatever type.
struct Answer(Value);

impl<'a> FromSql<'a> for Answer {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
            Type::INT2 => Value::Integer(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Value::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Value::Integer(i64::from_sql(ty, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::UUID => Value::Text(uuid::Uuid::from_sql(ty, raw)?.to_string()),
            Type::TIMESTAMPTZ => Value::Text(format_timestamp(Time::from_sql(ty, raw)?.0)),
            Type::JSON => Value::Text(std::str::from_utf8(raw)?.to_owned()),
            Type::JSONB => Value::Text(std::str::from_utf8(raw.get(1..).unwrap_or_default())?.to_owned()),
            _ if <&str as FromSql>::accepts(ty) => Value::Text(<&str>::from_sql(ty, raw)?.to_owned()),
            _ => {
                return Err(format!(
                    "the type {ty} is not known here; cast it in the statement, for example to bigint or text"
                )
                .into());
            }
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A row of `events`, its columns in the order of the `select_*.sql` files.
pub(crate) fn event(row: &tokio_postgres::Row) -> Result<RecordedEvent, tokio_postgres::Error> {
    Ok(RecordedEvent {
        position: row.try_get::<_, i64>(0)?.cast_unsigned(),
        aggregate_type: row.try_get(1)?,
        aggregate_id: row.try_get(2)?,
        version: row.try_get::<_, i64>(3)?.cast_unsigned(),
        event_id: row.try_get(4)?,
        event_type: row.try_get(5)?,
        schema_version: u32::try_from(row.try_get::<_, i64>(6)?).unwrap_or(u32::MAX),
        data: row.try_get(7)?,
        metadata: row.try_get(8)?,
        timestamp: row.try_get::<_, Time>(9)?.0,
    })
}
