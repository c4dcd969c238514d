//! What people have put on a table that is factstream's to make and drop: views, indexes, triggers, grants.

use crate::sql::{Row, RowError};

/// One object that would go with its table, and how it is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// Which kind of object it is.
    pub kind: DependentKind,
    /// Its name, as a statement needs it; of a grant, who has it.
    pub name: String,
    /// The statement that takes it off, where it does not go with its table.
    pub take_off: Option<String>,
    /// The statement that makes it again.
    pub put_on: String,
    /// A query that fails once it does not fit its table any more, where making it does not fail already.
    pub check: Option<String>,
}

impl Dependent {
    /// From a row of an engine's catalogue query: `kind`, `name`, `take_off`, `put_on`, `check_sql`.
    ///
    /// # Errors
    /// [`RowError`] when the row has other columns, or names a kind that there is not.
    pub fn of_row(row: &Row) -> Result<Self, RowError> {
        let kind = DependentKind::named(&row.get::<String>("kind")?);
        Ok(Self {
            kind: kind.ok_or_else(|| RowError::NoColumn { column: "kind".into() })?,
            name: row.get("name")?,
            take_off: row.get("take_off")?,
            put_on: row.get("put_on")?,
            check: row.get("check_sql")?,
        })
    }
}

/// A kind of [`Dependent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DependentKind {
    /// An index.
    Index,
    /// A view, materialized or not.
    View,
    /// A trigger.
    Trigger,
    /// What a role may do.
    Grant,
    /// A rule of row level security.
    Policy,
}

impl DependentKind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "index" => Some(Self::Index),
            "view" => Some(Self::View),
            "trigger" => Some(Self::Trigger),
            "grant" => Some(Self::Grant),
            "policy" => Some(Self::Policy),
            _ => None,
        }
    }

    /// Its name in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Grant => "grant",
            Self::Policy => "policy",
        }
    }
}
