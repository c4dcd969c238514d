//! Where a page of a list ended: an opaque text to whoever holds it, and nothing of it is trusted when it comes back.

use crate::error::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use factstream_core::sql::Value;
use serde::{Deserialize, Serialize};

/// Reads a cursor of a list and writes it again. For the checks on bad input.
///
/// # Errors
/// [`Error::Cursor`]
pub fn cursor_again(text: &str, table: &str, column: &str) -> Result<String, Error> {
    let Cursor { value, key, .. } = Cursor::read(text, table, column)?;
    Cursor::write(table, column, value.into(), key.values())
}

/// Where a page ended: an opaque text to whoever holds it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    table: String,
    column: String,
    pub(super) value: Sorted,
    pub(super) key: SortedKey,
}

/// The key of the last row.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SortedKey {
    One(Sorted),
    Several(Vec<Sorted>),
}

impl SortedKey {
    pub(super) fn parts(&self) -> &[Sorted] {
        match self {
            Self::One(part) => std::slice::from_ref(part),
            Self::Several(parts) => parts,
        }
    }

    pub(super) fn values(self) -> Vec<Value> {
        match self {
            Self::One(part) => vec![part.into()],
            Self::Several(parts) => parts.into_iter().map(Into::into).collect(),
        }
    }
}

/// A value that a list can be ordered by.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Sorted {
    Bool(bool),
    Integer(i64),
    Real(f64),
    Text(String),
}

impl From<Sorted> for Value {
    fn from(sorted: Sorted) -> Self {
        match sorted {
            Sorted::Bool(flag) => Value::Bool(flag),
            Sorted::Integer(number) => Value::Integer(number),
            Sorted::Real(number) => Value::Real(number),
            Sorted::Text(text) => Value::Text(text),
        }
    }
}

impl Sorted {
    /// Whether a column of this type can have it.
    pub(super) fn fits(&self, sql_type: &str) -> bool {
        match self {
            Self::Bool(_) => sql_type == "BOOLEAN",
            Self::Integer(_) => ["BIGINT", "BOOLEAN", "DOUBLE PRECISION"].contains(&sql_type),
            Self::Real(_) => sql_type == "DOUBLE PRECISION",
            Self::Text(_) => sql_type == "TEXT",
        }
    }

    pub(super) fn has_nul(&self) -> bool {
        matches!(self, Self::Text(text) if text.contains('\0'))
    }

    fn of(value: Value) -> Result<Self, Error> {
        match value {
            Value::Bool(flag) => Ok(Self::Bool(flag)),
            Value::Integer(number) => Ok(Self::Integer(number)),
            Value::Real(number) => Ok(Self::Real(number)),
            Value::Text(text) => Ok(Self::Text(text)),
            Value::Null | Value::Blob(_) | Value::TooLarge(_) => {
                Err(Error::Wiring("a list cannot be ordered by NULL or bytes".into()))
            }
        }
    }
}

impl Cursor {
    pub(super) fn write(table: &str, column: &str, value: Value, key: Vec<Value>) -> Result<String, Error> {
        let mut key = key.into_iter().map(Sorted::of).collect::<Result<Vec<_>, _>>()?;
        let key = match (key.len(), key.pop()) {
            (1, Some(part)) => SortedKey::One(part),
            (_, last) => SortedKey::Several(key.into_iter().chain(last).collect()),
        };
        let cursor =
            Self { table: table.to_owned(), column: column.to_owned(), value: Sorted::of(value)?, key };
        let json = serde_json::to_vec(&cursor)
            .map_err(|source| Error::Encode { what: "the cursor of a list".into(), source })?;
        Ok(BASE64.encode(json))
    }

    pub(super) fn read(text: &str, table: &str, column: &str) -> Result<Self, Error> {
        let json = BASE64.decode(text).map_err(|_| Error::Cursor)?;
        let cursor: Self = serde_json::from_slice(&json).map_err(|_| Error::Cursor)?;
        if cursor.table != table || cursor.column != column {
            return Err(Error::Cursor);
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_back_only_into_its_own_list() {
        let cursor = Cursor::write("orders", "created_at", "2026".into(), vec!["o-1".into()]).unwrap();
        let read = Cursor::read(&cursor, "orders", "created_at").unwrap();
        assert_eq!(
            (read.value, read.key),
            (Sorted::Text("2026".into()), SortedKey::One(Sorted::Text("o-1".into())))
        );
        for (text, table, column) in [
            (cursor.as_str(), "orders", "status"),
            (&cursor, "others", "created_at"),
            ("x", "orders", "created_at"),
            ("", "orders", "created_at"),
        ] {
            assert!(matches!(Cursor::read(text, table, column), Err(Error::Cursor)), "{text}");
        }
    }
}
