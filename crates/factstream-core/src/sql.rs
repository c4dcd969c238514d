//! Values, parameters and rows of SQL, the same on every engine. Placeholders are `$1`, `$2`, ..
//!
//! Times are kept as text: RFC 3339, UTC, with six digits of microseconds, so that they sort as they read. One with nanoseconds
//! beyond these keeps them and has nine; beside another time of the same microsecond it may then sort on the wrong side.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use std::sync::Arc;
use uuid::Uuid;

/// One value of SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A truth value; SQLite keeps it as 0 or 1.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, also JSON and times.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// A whole number beyond `i64::MAX`, which no engine can hold: refused when it is written or compared with.
    TooLarge(u64),
}

impl Value {
    /// How many bytes it takes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => size_of::<Self>() + text.len(),
            Self::Blob(bytes) => size_of::<Self>() + bytes.len(),
            _ => size_of::<Self>(),
        }
    }
}

/// The parameters of one statement: `params[0]` is `$1`.
pub type Params = Vec<Value>;

/// Makes the parameters of a statement from anything that converts [`Into`] a [`Value`].
///
/// ```
/// use factstream_core::{params, sql::Value};
///
/// let note: Option<String> = None;
/// assert_eq!(params!["o-1", 7, note], vec![Value::Text("o-1".into()), Value::Integer(7), Value::Null]);
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { ::std::vec![$($crate::sql::Value::from($value)),*] };
}

macro_rules! into_value {
    ($($type:ty => |$value:ident| $make:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self { $make }
        }
    )*};
}

into_value! {
    bool => |value| Value::Bool(value),
    i16 => |value| Value::Integer(value.into()),
    i32 => |value| Value::Integer(value.into()),
    i64 => |value| Value::Integer(value),
    u16 => |value| Value::Integer(value.into()),
    u32 => |value| Value::Integer(value.into()),
    f64 => |value| Value::Real(value),
    String => |value| Value::Text(value),
    &String => |value| Value::Text(value.clone()),
    &str => |value| Value::Text(value.to_owned()),
    Vec<u8> => |value| Value::Blob(value),
    &[u8] => |value| Value::Blob(value.to_vec()),
    Uuid => |value| Value::Text(value.to_string()),
    Timestamp => |value| Value::Text(format_timestamp(value)),
}

/// What lies beyond `i64::MAX` becomes [`Value::TooLarge`], and the statement that it is given to is refused.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Value::TooLarge(value), Value::Integer)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Value::from(value as u64)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Why a number that no engine can hold is refused.
pub fn too_large() -> String {
    format!("a whole number is larger than the largest of a database ({}); keep it as text", i64::MAX)
}

/// RFC 3339, UTC, six digits of microseconds: `2026-11-23T13:31:14.000000Z`; nine where there is anything beyond these, so that
/// no digit is lost. One time is always written in one way.
///
/// ```
/// use factstream_core::sql::format_timestamp;
///
/// assert_eq!(format_timestamp("2026-11-23T13:31:14.5Z".parse()?), "2026-11-23T13:31:14.500000Z");
/// assert_eq!(format_timestamp("2026-11-23T13:31:14.000000001Z".parse()?), "2026-11-23T13:31:14.000000001Z");
/// # Ok::<(), jiff::Error>(())
/// ```
pub fn format_timestamp(timestamp: Timestamp) -> String {
    const MICROSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    const NANOSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
    let printer = if has_nanoseconds(timestamp) { NANOSECONDS } else { MICROSECONDS };
    printer.timestamp_to_string(&timestamp)
}

/// Whether there is anything below microseconds.
pub(crate) fn has_nanoseconds(timestamp: Timestamp) -> bool {
    timestamp.subsec_nanosecond() % 1_000 != 0
}

/// A time without what lies below microseconds, so that it is the same after it was stored.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// A row with the names of its columns. For engines.
    pub fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
        debug_assert_eq!(columns.len(), values.len(), "a row has one value for each column");
        Self { columns, values }
    }

    /// How many bytes its values take, about.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(Value::bytes).sum()
    }

    /// The value of the named column.
    ///
    /// # Errors
    /// [`RowError`] when there is no such column or it holds another type.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, RowError> {
        let at = self.columns.iter().position(|name| name == column);
        self.at(at.ok_or_else(|| RowError::NoColumn { column: column.to_owned() })?)
    }

    /// The value of the column at this index, from 0.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn at<T: FromValue>(&self, index: usize) -> Result<T, RowError> {
        let value =
            self.values.get(index).ok_or_else(|| RowError::NoColumn { column: format!("#{index}") })?;
        T::from_value(value).ok_or_else(|| RowError::WrongType {
            column: self.columns.get(index).cloned().unwrap_or_default(),
            wanted: std::any::type_name::<T>(),
            found: kind(value),
        })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Bool(_) => "a truth value",
        Value::Integer(_) => "a whole number",
        Value::Real(_) => "a floating-point number",
        Value::Text(_) => "text",
        Value::Blob(_) => "bytes",
        Value::TooLarge(_) => "a whole number that is too large",
    }
}

/// Why a row's value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// No such column.
    #[error("the answer has no column {column}; check the statement's SELECT list")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// Another type.
    #[error("column {column} holds {found}, not a {wanted}")]
    WrongType {
        /// The column.
        column: String,
        /// The Rust type asked for.
        wanted: &'static str,
        /// What it holds.
        found: &'static str,
    },
}

/// A type that can be read from a [`Value`].
pub trait FromValue: Sized {
    /// The value as this type; `None` when it holds another.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty => $($pattern:pat => $make:expr),+;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value { $($pattern => $make,)+ _ => None }
            }
        }
    )*};
}

from_value! {
    bool => Value::Bool(flag) => Some(*flag), Value::Integer(0) => Some(false), Value::Integer(1) => Some(true);
    i64 => Value::Integer(number) => Some(*number);
    i32 => Value::Integer(number) => i32::try_from(*number).ok();
    u64 => Value::Integer(number) => u64::try_from(*number).ok();
    u32 => Value::Integer(number) => u32::try_from(*number).ok();
    f64 => Value::Real(number) => Some(*number), Value::Integer(number) => exactly(*number);
    String => Value::Text(text) => Some(text.clone());
    Vec<u8> => Value::Blob(bytes) => Some(bytes.clone());
    Uuid => Value::Text(text) => text.parse().ok();
    Timestamp => Value::Text(text) => text.parse().ok();
}

/// The same number as floating point, where that has all of its digits.
fn exactly(number: i64) -> Option<f64> {
    let real = number as f64;
    (real as i128 == i128::from(number)).then_some(real)
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A list of placeholders, `$first, $first+1, ..`, for `count` values of an `IN (..)` list.
///
/// ```
/// assert_eq!(factstream_core::sql::placeholders(2, 3), "$2, $3, $4");
/// ```
pub fn placeholders(first: usize, count: usize) -> String {
    let list: Vec<String> = (first..first + count).map(|at| format!("${at}")).collect();
    list.join(", ")
}

/// The same SQL with placeholders that count from `$by+1` on instead of `$1`, so that it can stand behind another text. What
/// stands in quotes or comments stays.
///
/// ```
/// use factstream_core::sql::renumbered;
///
/// assert_eq!(renumbered("a = $1 OR b = '$1'", 2), "a = $3 OR b = '$1'");
/// ```
pub fn renumbered(sql: &str, by: usize) -> String {
    let mut out = String::with_capacity(sql.len() + 4);
    let mut rest = sql;
    while let Some(at) = rest.find(['$', '\'', '"', '-', '/']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        if rest.starts_with('$')
            && let Ok(number) = rest[1..=digits].parse::<usize>()
        {
            out.push('$');
            out.push_str(&(number + by).to_string());
            rest = &rest[1 + digits..];
            continue;
        }
        let (as_it_is, behind) = rest.split_at(opaque(rest).min(rest.len()));
        out.push_str(as_it_is);
        rest = behind;
    }
    out + rest
}

/// How many bytes of an SQL text, which begins with one of `$'"-/`, are to be taken as they are.
fn opaque(sql: &str) -> usize {
    let behind = |from: usize, end: &str| sql[from..].find(end).map_or(sql.len(), |at| from + at + end.len());
    match sql.as_bytes() {
        [b'\'', ..] => behind(1, "'"),
        [b'"', ..] => behind(1, "\""),
        [b'-', b'-', ..] => behind(2, "\n"),
        [b'/', b'*', ..] => sql.len() - behind_comment(&sql[2..], true).len(),
        [b'$', ..] => {
            let name = sql[1..]
                .find(|sign: char| !sign.is_alphanumeric() && sign != '_')
                .map_or(sql.len(), |at| 1 + at);
            match sql[name..].starts_with('$') {
                true => behind(name + 1, &sql[..=name]), // PostgreSQL's text between two $tag$
                false => name,
            }
        }
        _ => 1,
    }
}

/// A name in a statement, where it may also be a word of SQL's own, such as `order`.
///
/// ```
/// assert_eq!(factstream_core::sql::quoted("order"), "\"order\"");
/// ```
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A statement from its first word on, without the space, comments and empty statements before it. PostgreSQL's comments can
/// stand in each other, SQLite's cannot.
///
/// ```
/// use factstream_core::sql::code;
///
/// assert_eq!(code("; -- note\n /* a /* b */ */ COMMIT", true), "COMMIT");
/// assert_eq!(code("/* a /* b */ COMMIT", false), "COMMIT");
/// ```
pub fn code(mut sql: &str, comments_nest: bool) -> &str {
    loop {
        sql =
            sql.trim_start_matches(|first: char| first.is_whitespace() || matches!(first, ';' | '\u{feff}'));
        sql = match sql.get(..2) {
            Some("--") => sql.split_once('\n').map_or("", |(_, rest)| rest),
            Some("/*") => behind_comment(&sql[2..], comments_nest),
            _ => return sql,
        };
    }
}

/// What stands behind a comment that has begun.
fn behind_comment(mut rest: &str, comments_nest: bool) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(end) = rest.find("*/") else { return "" };
        let inner = rest.find("/*").filter(|begin| comments_nest && *begin < end);
        (depth, rest) = match inner {
            Some(begin) => (depth + 1, &rest[begin + 2..]),
            None => (depth - 1, &rest[end + 2..]),
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_by_name_and_says_what_does_not_fit() {
        let columns: Arc<[String]> = ["id".to_owned(), "count".to_owned(), "note".to_owned()].into();
        let row = Row::new(columns, params!["o-1", 3, None::<String>]);
        assert_eq!(row.get::<String>("id").unwrap(), "o-1");
        assert_eq!(row.get::<u64>("count").unwrap(), 3);
        assert_eq!(row.get::<Option<String>>("note").unwrap(), None);
        assert!(row.get::<i64>("id").unwrap_err().to_string().contains("column id holds text"));
        assert!(row.get::<i64>("nope").unwrap_err().to_string().contains("no column nope"));
    }

    #[test]
    fn a_number_that_no_engine_can_hold_is_not_made_smaller() {
        let (largest, beyond) = (i64::MAX.cast_unsigned(), i64::MAX.cast_unsigned() + 1);
        assert_eq!(params![largest, beyond], [Value::Integer(i64::MAX), Value::TooLarge(beyond)]);
    }

    #[test]
    fn a_whole_number_is_read_as_floating_point_only_with_all_of_its_digits() {
        for number in [0, -1, 1 << 53, i64::MIN, (1 << 62) + (1 << 12)] {
            assert_eq!(f64::from_value(&Value::Integer(number)), Some(number as f64));
        }
        for number in [(1 << 53) + 1, i64::MAX, i64::MIN + 1] {
            assert_eq!(f64::from_value(&Value::Integer(number)), None, "{number}");
        }
    }

    #[test]
    fn placeholders_are_renumbered_and_what_is_quoted_stays() {
        for (sql, renumbered_sql) in [
            ("a = $1 AND b < $12", "a = $4 AND b < $15"),
            ("a = '$1''$1' AND \"$1\" = $1", "a = '$1''$1' AND \"$1\" = $4"),
            (
                "a = $1 -- $1\nAND b = $2 /* $1 /* $2 */ $3 */ - $3",
                "a = $4 -- $1\nAND b = $5 /* $1 /* $2 */ $3 */ - $6",
            ),
            ("a = $$ $1 $$ OR a = $t$ $1 $$ $t$ OR a = $1", "a = $$ $1 $$ OR a = $t$ $1 $$ $t$ OR a = $4"),
            ("a = 'open", "a = 'open"),
            ("$", "$"),
            ("ä - $1 / $2", "ä - $4 / $5"),
        ] {
            assert_eq!(renumbered(sql, 3), renumbered_sql);
        }
    }

    #[test]
    fn times_have_a_fixed_width_and_survive() {
        let time: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(format_timestamp(time), "2026-01-02T03:04:05.000000Z");
        let now = now();
        assert_eq!(Timestamp::from_value(&Value::from(now)), Some(now));
    }
}
