//! Queries on a read model: one row, or pages of a list by keyset, with read-your-writes when asked for (G11).

use super::Fold;
use super::table::{column_list, column_of, quoted};
use crate::app::App;
use crate::error::Error;
use crate::processor::checkpoint;
use crate::processor::shard::Shard;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use factstream_core::envelope::Position;
use factstream_core::params;
use factstream_core::read_model::ReadModel;
use factstream_core::sql::{Params, Value};
use factstream_core::store::StoreError;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::time::Duration;
use tokio::time::Instant;

/// How long `wait_for` waits unless told otherwise.
pub const WAIT: Duration = Duration::from_secs(5);
/// The most rows of one page.
pub const LIMIT_MAX: usize = 1_000;
/// How often another process's progress is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// A query on a read model.
#[must_use = "a query does nothing until get, list or count"]
pub struct Read<'a, R> {
    app: &'a App,
    wait_for: Option<Position>,
    deadline: Duration,
    filter: Option<(String, Params)>,
    order: Option<(String, Order)>,
    limit: usize,
    cursor: Option<String>,
    row: PhantomData<fn() -> R>,
}

impl App {
    /// Begins a query on a read model.
    pub fn read<R: Fold>(&self) -> Read<'_, R> {
        Read {
            app: self,
            wait_for: None,
            deadline: WAIT,
            filter: None,
            order: None,
            limit: 50,
            cursor: None,
            row: PhantomData,
        }
    }
}

impl<R: Fold> Read<'_, R> {
    /// Waits until the read model has come to this position: what [`Done::position`](crate::Done) says.
    pub fn wait_for(mut self, position: Position) -> Self {
        self.wait_for = Some(position);
        self
    }

    /// How long to wait, [`WAIT`] unless said, at most a day; then [`Error::Behind`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(Duration::from_secs(24 * 3_600));
        self
    }

    /// Only rows for which this SQL condition holds; `$1` is the first of `params`.
    ///
    /// The condition is code: never put user input into it, only into `params`.
    pub fn filter(mut self, condition: &'static str, params: Params) -> Self {
        self.filter = Some((condition.to_owned(), params));
        self
    }

    /// Orders by a column, rows with the same value by key. The key's order unless said.
    pub fn order_by(mut self, column: &'static str, order: Order) -> Self {
        self.order = Some((column.to_owned(), order));
        self
    }

    /// The most rows of a page: 1 to [`LIMIT_MAX`], 50 unless said.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows.clamp(1, LIMIT_MAX);
        self
    }

    /// Goes on after a page: its [`Page::next`].
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The row with this key.
    ///
    /// # Errors
    /// [`Error::Behind`] past the deadline, or what the store reports.
    pub async fn get(self, key: impl Into<Value>) -> Result<Option<R>, Error> {
        let key = key.into();
        self.wait(Some(&key)).await?;
        let table = quoted(R::TABLE);
        let (columns, key_column) = (column_list::<R>(&table), column_of(&table, key_name::<R>()));
        let sql = format!("SELECT {columns} FROM {table} WHERE {key_column} = $1");
        let rows = self.app.store().query(&sql, vec![key]).await?;
        Ok(rows.first().map(R::from_row).transpose()?)
    }

    /// A page of rows.
    ///
    /// # Errors
    /// As [`Read::get`], and [`Error::Cursor`] for a cursor of another list.
    pub async fn list(self) -> Result<Page<R>, Error> {
        self.wait(None).await?;
        let (by, order) = self.ordering()?;
        let table = quoted(R::TABLE);
        let (column, key) = (column_of(&table, &by), column_of(&table, key_name::<R>()));
        let (mut conditions, mut params) = (Vec::new(), Params::new());
        if let Some((condition, own)) = &self.filter {
            conditions.push(format!("({condition})"));
            params.extend(own.iter().cloned());
        }
        let (direction, beyond) = match order {
            Order::Ascending => ("ASC", ">"),
            Order::Descending => ("DESC", "<"),
        };
        let mut has_nul = false;
        if let Some(cursor) = &self.cursor {
            let Cursor { value, key: last, .. } = Cursor::read(cursor, R::TABLE, &by)?;
            if !value.fits(sql_type::<R>(&by)) || !last.fits(sql_type::<R>(key_name::<R>())) {
                return Err(Error::Cursor);
            }
            has_nul = value.has_nul() || last.has_nul();
            let at = params.len();
            conditions.push(format!("({column}, {key}) {beyond} (${}, ${})", at + 1, at + 2));
            params.extend([value.into(), last.into()]);
        }
        let filter =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        params.push(Value::from(self.limit + 1));
        let sql = format!(
            "SELECT {} FROM {table} {filter} ORDER BY {column} {direction}, {key} {direction} LIMIT ${}",
            column_list::<R>(&table),
            params.len()
        );
        let mut rows = match self.app.store().query(&sql, params).await {
            // Where no row can hold a NUL, a cursor with one is none that this list gave out.
            Err(StoreError::Statement { .. }) if has_nul => return Err(Error::Cursor),
            rows => rows?,
        };
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = match rows.last() {
            Some(last) if more => {
                Some(Cursor::write(R::TABLE, &by, last.get(&by)?, last.get(key_name::<R>())?)?)
            }
            _ => None,
        };
        Ok(Page { rows: rows.iter().map(R::from_row).collect::<Result<_, _>>()?, next })
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// As [`Read::get`].
    pub async fn count(self) -> Result<u64, Error> {
        self.wait(None).await?;
        let (condition, params) = self.filter.unwrap_or_else(|| ("1 = 1".to_owned(), Params::new()));
        let sql = format!("SELECT count(*) AS rows FROM {} WHERE {condition}", quoted(R::TABLE));
        let rows = self.app.store().query(&sql, params).await?;
        Ok(rows.first().map(|row| row.get("rows")).transpose()?.unwrap_or(0))
    }

    fn ordering(&self) -> Result<(String, Order), Error> {
        let Some((column, order)) = &self.order else {
            return Ok((key_name::<R>().to_owned(), Order::Ascending));
        };
        match R::COLUMNS.iter().find(|known| known.name == column) {
            Some(known) if !known.nullable => Ok((column.clone(), *order)),
            Some(_) => {
                Err(Error::Wiring(format!("{} cannot be ordered by {column}, which may be NULL", R::TABLE)))
            }
            None => Err(Error::Wiring(format!("{} has no column {column} to order by", R::TABLE))),
        }
    }

    /// Waits until the position is folded into the rows: the checkpoint is there, and the event is not parked.
    async fn wait(&self, key: Option<&Value>) -> Result<(), Error> {
        let Some(position) = self.wait_for else { return Ok(()) };
        let deadline = Instant::now() + self.deadline;
        let shards = R::shards().max(1);
        // The part that the row is in; all of them for a list.
        let parts: Vec<Shard> = match key {
            Some(Value::Text(key)) => vec![Shard::of_key(key, shards)],
            _ => Shard::all(shards).collect(),
        };
        let mut parts = parts.into_iter().map(|shard| shard.name(R::TABLE));
        let first = parts.next().unwrap_or_else(|| R::TABLE.to_owned());
        let mut follow = self.app.progress().follow(&first);
        loop {
            let here = *follow.borrow_and_update();
            let reached = match here >= position {
                true => here,
                false => self.reached(key, shards).await?.max(here),
            };
            if reached >= position
                && let Some(next) = parts.next()
            {
                follow = self.app.progress().follow(&next);
                continue;
            }
            let held = match reached >= position {
                true => self.held_letter(position, key).await?,
                false => None,
            };
            if reached >= position && held.is_none() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.behind(position, reached, held));
            }
            let look_again = deadline.min(Instant::now() + POLL_INTERVAL);
            let _ = tokio::time::timeout_at(look_again, follow.changed()).await;
        }
    }

    /// How far the rows are in the store: those of one key where the live division into shards is this build's, else the slowest.
    async fn reached(&self, key: Option<&Value>, shards: u32) -> Result<Position, Error> {
        let live = checkpoint::live(self.app.store().as_ref(), R::TABLE).await?;
        Ok(match key {
            Some(Value::Text(key)) if live.positions.len() == shards as usize => {
                live.positions[Shard::of_key(key, shards).index() as usize]
            }
            _ => live.slowest(),
        })
    }

    fn behind(&self, position: Position, reached: Position, held: Option<u64>) -> Error {
        let hint = match held {
            Some(letter) => {
                format!("dead letter {letter} holds it up: look at it, then redrive, edit or discard it")
            }
            None => "look at the status: is the projection running?".to_owned(),
        };
        Error::Behind { read_model: R::TABLE.to_owned(), position, reached, waited: self.deadline, hint }
    }

    /// The event that holds up the position: the one itself, or an earlier one of the row's key.
    async fn held_letter(&self, position: Position, key: Option<&Value>) -> Result<Option<u64>, Error> {
        let sql = "SELECT b.head_id FROM fs_blocked_keys b JOIN fs_dead_letters l \
                   ON l.handler = b.handler AND l.event_key = b.event_key \
                   WHERE b.handler = $1 AND l.state IN ('retrying', 'dead', 'parked') \
                   AND (l.position = $2 OR (l.position < $2 AND b.event_key = $3)) LIMIT 1";
        let key = match key {
            Some(Value::Text(key)) => Some(key.clone()),
            _ => None,
        };
        let rows = self.app.store().query(sql, params![R::TABLE, position, key]).await?;
        Ok(rows.first().map(|row| row.get("head_id")).transpose()?)
    }
}

fn key_name<R: ReadModel>() -> &'static str {
    R::COLUMNS[R::KEY].name
}

fn sql_type<R: ReadModel>(column: &str) -> &'static str {
    R::COLUMNS.iter().find(|known| known.name == column).map_or("", |known| known.sql_type)
}

/// Reads a cursor of a list and writes it again. For the checks on bad input.
///
/// # Errors
/// [`Error::Cursor`]
pub fn cursor_again(text: &str, table: &str, column: &str) -> Result<String, Error> {
    let Cursor { value, key, .. } = Cursor::read(text, table, column)?;
    Cursor::write(table, column, value.into(), key.into())
}

/// Where a page ended: an opaque text to whoever holds it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cursor {
    table: String,
    column: String,
    value: Sorted,
    key: Sorted,
}

/// A value that a list can be ordered by.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Sorted {
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
    fn fits(&self, sql_type: &str) -> bool {
        match self {
            Self::Bool(_) => sql_type == "BOOLEAN",
            Self::Integer(_) => ["BIGINT", "BOOLEAN", "DOUBLE PRECISION"].contains(&sql_type),
            Self::Real(_) => sql_type == "DOUBLE PRECISION",
            Self::Text(_) => sql_type == "TEXT",
        }
    }

    fn has_nul(&self) -> bool {
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
    fn write(table: &str, column: &str, value: Value, key: Value) -> Result<String, Error> {
        let cursor = Self {
            table: table.to_owned(),
            column: column.to_owned(),
            value: Sorted::of(value)?,
            key: Sorted::of(key)?,
        };
        let json = serde_json::to_vec(&cursor)
            .map_err(|source| Error::Encode { what: "the cursor of a list".into(), source })?;
        Ok(BASE64.encode(json))
    }

    fn read(text: &str, table: &str, column: &str) -> Result<Self, Error> {
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
        let cursor = Cursor::write("orders", "created_at", "2026".into(), "o-1".into()).unwrap();
        let read = Cursor::read(&cursor, "orders", "created_at").unwrap();
        assert_eq!((read.value, read.key), (Sorted::Text("2026".into()), Sorted::Text("o-1".into())));
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
