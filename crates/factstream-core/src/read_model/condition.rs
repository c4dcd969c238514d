//! Which rows of a read model: conditions on typed columns, joined without losing one.
//!
//! Invariant: values are parameters, never text of a statement; each condition counts its parameters from `$1`.

use super::ReadModel;
use crate::sql::{Params, Value, placeholders, quoted, renumbered};
use std::fmt;
use std::marker::PhantomData;

/// A condition on the rows of `R`.
///
/// ```
/// # use factstream_core as factstream;
/// use factstream_core::read_model::{Condition, ReadModel};
/// use factstream_macros::ReadModel;
///
/// #[derive(ReadModel, Clone)]
/// #[read_model(table = "orders_shown")]
/// struct Order {
///     #[column(key)]
///     order_id: String,
///     status: String,
///     amount: i64,
/// }
///
/// let order = <Order as ReadModel>::Columns::default();
/// let open_or_large: Condition<Order> = order.status.eq("OPEN").or(order.amount.ge(1_000));
/// assert_eq!(
///     open_or_large.sql(),
///     "(\"orders_shown\".\"status\" = $1\n) OR (\"orders_shown\".\"amount\" >= $2\n)"
/// );
/// ```
#[must_use = "a condition does nothing until a query is given it"]
pub struct Condition<R> {
    sql: String,
    params: Params,
    row: PhantomData<fn() -> R>,
}

impl<R> Condition<R> {
    /// A condition in SQL; `$1` is the first of `params`.
    ///
    /// The text is code: never put user input into it, only into `params`.
    pub fn of_sql(sql: impl Into<String>, params: Params) -> Self {
        Self { sql: sql.into(), params, row: PhantomData }
    }

    /// Both.
    pub fn and(self, other: Self) -> Self {
        self.join("AND", other)
    }

    /// One of the two, or both.
    pub fn or(self, other: Self) -> Self {
        self.join("OR", other)
    }

    // The line ends before a bracket closes: the text may end with a comment.
    fn join(mut self, word: &str, other: Self) -> Self {
        let sql = format!("({}\n) {word} ({}\n)", self.sql, renumbered(&other.sql, self.params.len()));
        self.params.extend(other.params);
        Self { sql, ..self }
    }

    /// Its text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Its text and parameters.
    pub fn into_parts(self) -> (String, Params) {
        (self.sql, self.params)
    }
}

impl<R> Clone for Condition<R> {
    fn clone(&self) -> Self {
        Self::of_sql(self.sql.clone(), self.params.clone())
    }
}

/// Without its parameters, which may be anything.
impl<R> fmt::Debug for Condition<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("sql", &self.sql).finish_non_exhaustive()
    }
}

/// A column of `R` whose field has the type `T`; the derive of [`ReadModel`] makes them.
pub struct TypedColumn<R, T> {
    name: &'static str,
    to_value: fn(T) -> Value,
    row: PhantomData<fn() -> R>,
}

impl<R, T> Clone for TypedColumn<R, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, T> Copy for TypedColumn<R, T> {}

impl<R, T> fmt::Debug for TypedColumn<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TypedColumn({})", self.name)
    }
}

impl<R: ReadModel, T> TypedColumn<R, T> {
    /// The column of this name, with the way of a value into it.
    pub const fn new(name: &'static str, to_value: fn(T) -> Value) -> Self {
        Self { name, to_value, row: PhantomData }
    }

    /// The column's name.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Equal to this value; to `None`, where it is NULL.
    pub fn eq(self, value: impl Into<T>) -> Condition<R> {
        match (self.to_value)(value.into()) {
            Value::Null => self.is_null(),
            value => self.compared("=", value),
        }
    }

    /// Another value than this, NULL included.
    pub fn ne(self, value: impl Into<T>) -> Condition<R> {
        match (self.to_value)(value.into()) {
            Value::Null => self.is_not_null(),
            value => self.compared("IS DISTINCT FROM", value),
        }
    }

    /// Less than this, in the database's order.
    pub fn lt(self, value: impl Into<T>) -> Condition<R> {
        self.compared("<", (self.to_value)(value.into()))
    }

    /// At most this, in the database's order.
    pub fn le(self, value: impl Into<T>) -> Condition<R> {
        self.compared("<=", (self.to_value)(value.into()))
    }

    /// More than this, in the database's order.
    pub fn gt(self, value: impl Into<T>) -> Condition<R> {
        self.compared(">", (self.to_value)(value.into()))
    }

    /// At least this, in the database's order.
    pub fn ge(self, value: impl Into<T>) -> Condition<R> {
        self.compared(">=", (self.to_value)(value.into()))
    }

    /// One of these; none of an empty list is.
    pub fn one_of<V: Into<T>>(self, values: impl IntoIterator<Item = V>) -> Condition<R> {
        let values = values.into_iter().map(|value| (self.to_value)(value.into()));
        let (nulls, params): (Params, Params) = values.partition(|value| *value == Value::Null);
        let listed = match params.len() {
            0 => Condition::of_sql("1 = 0", params),
            count => {
                Condition::of_sql(format!("{} IN ({})", self.in_table(), placeholders(1, count)), params)
            }
        };
        if nulls.is_empty() { listed } else { listed.or(self.is_null()) }
    }

    /// NULL.
    pub fn is_null(self) -> Condition<R> {
        Condition::of_sql(format!("{} IS NULL", self.in_table()), Params::new())
    }

    /// Not NULL.
    pub fn is_not_null(self) -> Condition<R> {
        Condition::of_sql(format!("{} IS NOT NULL", self.in_table()), Params::new())
    }

    fn compared(self, operator: &str, value: Value) -> Condition<R> {
        Condition::of_sql(format!("{} {operator} $1", self.in_table()), vec![value])
    }

    /// SQLite takes a lone name in quotes for a text where there is no such column.
    fn in_table(self) -> String {
        format!("{}.{}", quoted(R::TABLE), quoted(self.name))
    }
}
