//! `$1`, `$2`, .. to SQLite's parameters. In SQLite `$1` is a name, numbered by its first appearance: bound by name here.

use factstream_core::sql::{Params, Value, too_large};
use factstream_core::store::StoreError;
use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
use rusqlite::{Statement, ToSql};

use crate::error::first_line;

/// A value of the port, as SQLite takes it.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Owned(Owned::Null),
            Value::Bool(flag) => ToSqlOutput::Owned(Owned::Integer(i64::from(*flag))),
            Value::Integer(number) => ToSqlOutput::Owned(Owned::Integer(*number)),
            Value::Real(number) if number.is_nan() => {
                return Err(refused("NaN: SQLite would keep it as NULL; decide on a value for it".into()));
            }
            Value::Real(number) => ToSqlOutput::Owned(Owned::Real(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::TooLarge(_) => return Err(refused(too_large())),
        })
    }
}

fn refused(why: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(why.into())
}

/// Which of `$1`, `$2`, .. each of a statement's parameters is; refused when their number does not fit.
pub(crate) fn numbers(statement: &Statement<'_>, sql: &str, given: usize) -> Result<Vec<usize>, StoreError> {
    let refuse = |message: String| Err(StoreError::statement(message, first_line(sql)));
    let mut numbers = Vec::with_capacity(statement.parameter_count());
    for at in 1..=statement.parameter_count() {
        let name = statement.parameter_name(at).unwrap_or("?");
        match name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok()) {
            Some(number) if (1..=given).contains(&number) => numbers.push(number),
            Some(number) => return refuse(format!("it uses ${number}, but {given} parameters are given")),
            None => return refuse(format!("its placeholder {name} is not understood; write $1, $2, ..")),
        }
    }
    let highest = numbers.iter().copied().max().unwrap_or(0);
    if highest != given {
        return refuse(format!("{given} parameters are given, but it uses only up to ${highest}"));
    }
    Ok(numbers)
}

/// Binds the parameters.
pub(crate) fn bind(
    statement: &mut Statement<'_>,
    numbers: &[usize],
    params: &Params,
) -> rusqlite::Result<()> {
    for (at, number) in (1..).zip(numbers) {
        statement.raw_bind_parameter(at, Bound(&params[number - 1]))?;
    }
    Ok(())
}
