//! The shape of a read model: a struct that is a row of a table. `#[derive(ReadModel)]` writes it. How rows are found stands in
//! `key` (one of them) and `condition` (those that fit).
//!
//! Invariant: the column types are those that every engine has, so one derive serves all of them.

mod condition;
mod key;

pub use condition::{Condition, TypedColumn};
pub use key::{KeyError, RowKey};

use crate::sql::{FromValue, Row, RowError, Value};
use jiff::Timestamp;
use uuid::Uuid;

/// A struct that is one row of a table, with a key of one column or several. Derive it:
///
/// ```
/// # use factstream_core as factstream;
/// use factstream_core::read_model::ReadModel;
/// use factstream_macros::ReadModel;
///
/// #[derive(ReadModel, Clone, Debug, PartialEq)]
/// #[read_model(table = "order_totals")]
/// struct OrderTotal {
///     #[column(key)]
///     order_id: String,
///     #[column(index)]
///     customer_id: String,
///     #[column(json)]
///     skus: Vec<String>,
///     total_cents: i64,
///     note: Option<String>,
/// }
///
/// assert_eq!(OrderTotal::TABLE, "order_totals");
/// assert_eq!(OrderTotal::COLUMNS[OrderTotal::KEY[0]].name, "order_id");
/// ```
///
/// With several key columns the key is a tuple of their types, in the order of the fields:
///
/// ```
/// # use factstream_core as factstream;
/// # use factstream_core::read_model::ReadModel;
/// # use factstream_macros::ReadModel;
/// #[derive(ReadModel, Clone)]
/// #[read_model(table = "turnover")]
/// struct Turnover {
///     #[column(key)]
///     month: String,
///     #[column(key)]
///     currency: String,
///     cents: i64,
/// }
///
/// let key: <Turnover as ReadModel>::Key = ("2026-11".to_owned(), "EUR".to_owned());
/// assert_eq!(Turnover::KEY, [0, 1]);
/// # let _ = key;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a read model",
    label = "this is not a row of a table",
    note = "put `#[derive(ReadModel, Clone)]` and `#[read_model(table = \"..\")]` on the struct, and `#[column(key)]` on its key field"
)]
pub trait ReadModel: Clone + Send + Sync + 'static {
    /// The table's name.
    const TABLE: &'static str;
    /// The columns, in the order of the fields.
    const COLUMNS: &'static [Column];
    /// Which columns are the key, in the order of the fields.
    const KEY: &'static [usize];

    /// The key: the type of its field, or a tuple of the types where there are several.
    type Key: Clone + Send + Sync + 'static;

    /// The columns by the names of their fields, for [conditions](Condition).
    type Columns: Default;

    /// By what this row is found.
    ///
    /// # Errors
    /// [`KeyError`] when a part of the key is nothing that a row is found by.
    fn key(&self) -> Result<RowKey, KeyError>;

    /// By what the row with this key is found.
    ///
    /// # Errors
    /// As [`ReadModel::key`].
    fn key_of(key: Self::Key) -> Result<RowKey, KeyError>;

    /// The key that is an aggregate's id; `None` where the key has several columns or another type.
    fn key_from_id(id: &str) -> Option<Self::Key>;

    /// The values of all columns, in their order.
    ///
    /// # Errors
    /// When a `#[column(json)]` field cannot be written as JSON.
    fn to_row(&self) -> Result<Vec<Value>, serde_json::Error>;

    /// The values of all columns, in their order, from a row that is not needed any more.
    ///
    /// # Errors
    /// As [`ReadModel::to_row`].
    fn into_row(self) -> Result<Vec<Value>, serde_json::Error> {
        self.to_row()
    }

    /// The struct from a row that has at least these columns.
    ///
    /// # Errors
    /// When a value does not fit its field.
    fn from_row(row: &Row) -> Result<Self, RowError>;
}

/// One column of a read model's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The column's name.
    pub name: &'static str,
    /// Its type in SQL, the same on every engine.
    pub sql_type: &'static str,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether it has an index of its own.
    pub index: bool,
}

impl Column {
    /// A column of this type, which is never NULL and has no index of its own.
    pub const fn new(name: &'static str, sql_type: &'static str) -> Self {
        Self { name, sql_type, nullable: false, index: false }
    }

    /// Whether it may be NULL.
    pub const fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Whether it has an index of its own.
    pub const fn index(mut self, index: bool) -> Self {
        self.index = index;
        self
    }
}

/// A type that a column can hold.
#[diagnostic::on_unimplemented(
    message = "a column cannot hold `{Self}`",
    label = "this type has no column type",
    note = "use String, bool, i32, i64, u32, u64, f64, Vec<u8>, Uuid, jiff::Timestamp or an Option of one; for anything with serde write `#[column(json)]`, for anything with Display and FromStr write `#[column(text)]`"
)]
pub trait ColumnValue: Sized + FromValue {
    /// The type in SQL.
    const SQL_TYPE: &'static str;
    /// Whether NULL is one of its values.
    const NULLABLE: bool = false;

    /// The value to store.
    fn to_value(&self) -> Value;

    /// The value to store, of one that is not needed any more.
    fn into_value(self) -> Value {
        self.to_value()
    }
}

macro_rules! column_value {
    ($($type:ty => $sql:literal),* $(,)?) => {$(
        impl ColumnValue for $type {
            const SQL_TYPE: &'static str = $sql;
            fn to_value(&self) -> Value { Value::from(self.clone()) }
            fn into_value(self) -> Value { Value::from(self) }
        }
    )*};
}

column_value! {
    bool => "BOOLEAN", i32 => "BIGINT", i64 => "BIGINT", u32 => "BIGINT", u64 => "BIGINT", f64 => "DOUBLE PRECISION",
    String => "TEXT", Vec<u8> => "BYTEA", Uuid => "TEXT", Timestamp => "TEXT",
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const SQL_TYPE: &'static str = T::SQL_TYPE;
    const NULLABLE: bool = true;

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn into_value(self) -> Value {
        self.map_or(Value::Null, T::into_value)
    }
}
