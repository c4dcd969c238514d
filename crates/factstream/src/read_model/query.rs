//! Queries on a read model: one row, or pages of a list by keyset, with read-your-writes when asked for (G11).

use super::cursor::{Cursor, Sorted};
use super::wait::Wait;
use crate::app::App;
use crate::error::Error;
use crate::tx::{column_list, column_of, with_key};
use factstream_core::envelope::Position;
use factstream_core::read_model::{Condition, ReadModel, RowKey};
use factstream_core::sql::{Params, Value, placeholders, quoted};
use factstream_core::store::StoreError;
use serde::Serialize;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// How long `wait_for` waits unless told otherwise.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// The most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Page<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// A query on a read model.
#[must_use = "a query does nothing until get, list or count"]
pub struct ReadModelQuery<'a, R> {
    app: &'a App,
    wait_for: Option<Position>,
    deadline: Duration,
    filter: Option<Condition<R>>,
    order: Option<(String, SortOrder)>,
    limit: usize,
    cursor: Option<String>,
    row: PhantomData<fn() -> R>,
}

impl<R: ReadModel> fmt::Debug for ReadModelQuery<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadModelQuery")
            .field("table", &R::TABLE)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Begins a query on rows that a read model, a projection or a consumer of any process fills.
    ///
    /// ```
    /// # use factstream::{App, Error, SortOrder, Page, ReadModel};
    /// #[derive(ReadModel, Clone)]
    /// #[read_model(table = "order_status")]
    /// struct OrderStatus {
    ///     #[column(key)]
    ///     order_id: String,
    ///     #[column(index)]
    ///     status: String,
    /// }
    ///
    /// async fn open_orders(app: &App) -> Result<Page<OrderStatus>, Error> {
    ///     app.read::<OrderStatus>().filter(|row| row.status.eq("OPEN")).order_by("status", SortOrder::Ascending).list().await
    /// }
    /// # let _ = open_orders;
    /// ```
    pub fn read<R: ReadModel>(&self) -> ReadModelQuery<'_, R> {
        ReadModelQuery {
            app: self,
            wait_for: None,
            deadline: WAIT_DEFAULT,
            filter: None,
            order: None,
            limit: 50,
            cursor: None,
            row: PhantomData,
        }
    }
}

impl<R: ReadModel> ReadModelQuery<'_, R> {
    /// Waits until the rows show this position: what [`Executed::position`](crate::Executed) says. Of several, the last one.
    ///
    /// For rows of read models and projections. A consumer's progress is no position of the log, and is refused.
    pub fn wait_for(mut self, position: Position) -> Self {
        self.wait_for = self.wait_for.max(Some(position));
        self
    }

    /// How long to wait, [`WAIT_DEFAULT`] unless said, at most a day; then [`Error::WaitTimedOut`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(Duration::from_secs(24 * 3_600));
        self
    }

    /// Only rows that this holds for, beside all that was asked for before: conditions are joined with AND.
    ///
    /// The closure is given the columns by the names of their fields: `.filter(|row| row.status.eq("OPEN"))`.
    pub fn filter(self, condition: impl FnOnce(R::Columns) -> Condition<R>) -> Self {
        self.only(condition(R::Columns::default()))
    }

    /// Only rows for which this SQL condition holds, too; `$1` is the first of `params`.
    ///
    /// The condition is code: never put user input into it, only into `params`.
    pub fn filter_sql(self, condition: impl Into<String>, params: Params) -> Self {
        self.only(Condition::of_sql(condition, params))
    }

    fn only(mut self, condition: Condition<R>) -> Self {
        self.filter = Some(match self.filter {
            Some(before) => before.and(condition),
            None => condition,
        });
        self
    }

    /// Orders by a column, rows with the same value by key. The key's order unless said.
    pub fn order_by(mut self, column: &'static str, order: SortOrder) -> Self {
        self.order = Some((column.to_owned(), order));
        self
    }

    /// The most rows of a page: 1 to [`PAGE_ROWS_MAX`], 50 unless said.
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows.clamp(1, PAGE_ROWS_MAX);
        self
    }

    /// Goes on after a page: its [`Page::next`].
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The row with this key, if it is one of those that the conditions hold for.
    ///
    /// # Errors
    /// [`Error::WaitTimedOut`] past the deadline, or what the store reports.
    pub async fn get(self, key: impl Into<R::Key>) -> Result<Option<R>, Error> {
        let key = R::key_of(key.into()).map_err(|error| Error::of_key::<R>(&error))?;
        self.wait(Some(&key)).await?;
        let table = quoted(R::TABLE);
        let (condition, mut params) = self.filter.map(Condition::into_parts).unwrap_or_default();
        let mut sql = format!(
            "SELECT {} FROM {table} WHERE {}",
            column_list::<R>(&table),
            with_key::<R>(&table, params.len() + 1)
        );
        if !condition.is_empty() {
            sql = format!("{sql} AND ({condition}\n)");
        }
        key.push_to(&mut params);
        let rows = self.app.store().query(&sql, params).await?;
        Ok(rows.first().map(R::from_row).transpose()?)
    }

    /// A page of rows.
    ///
    /// # Errors
    /// As [`ReadModelQuery::get`], and [`Error::Cursor`] for a cursor of another list.
    pub async fn list(self) -> Result<Page<R>, Error> {
        self.wait(None).await?;
        let (by, order) = self.ordering()?;
        let table = quoted(R::TABLE);
        let column = column_of(&table, &by);
        let key: Vec<String> = key_names::<R>().map(|name| column_of(&table, name)).collect();
        let (mut conditions, mut params) = (Vec::new(), Params::new());
        if let Some(condition) = self.filter {
            let (condition, own) = condition.into_parts();
            conditions.push(format!("({condition}\n)"));
            params.extend(own);
        }
        let (direction, beyond) = match order {
            SortOrder::Ascending => ("ASC", ">"),
            SortOrder::Descending => ("DESC", "<"),
        };
        let mut has_nul = false;
        if let Some(cursor) = &self.cursor {
            let Cursor { value, key: last, .. } = Cursor::read(cursor, R::TABLE, &by)?;
            let fits = last.parts().len() == R::KEY.len()
                && value.fits(sql_type::<R>(&by))
                && last
                    .parts()
                    .iter()
                    .zip(key_names::<R>())
                    .all(|(part, name)| part.fits(sql_type::<R>(name)));
            if !fits {
                return Err(Error::Cursor);
            }
            has_nul = value.has_nul() || last.parts().iter().any(Sorted::has_nul);
            let places = placeholders(params.len() + 1, 1 + key.len());
            conditions.push(format!("({column}, {}) {beyond} ({places})", key.join(", ")));
            params.push(value.into());
            params.extend(last.values());
        }
        let filter =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        params.push(Value::from(self.limit + 1));
        let sql = format!(
            "SELECT {} FROM {table} {filter} ORDER BY {column} {direction}, {} {direction} LIMIT ${}",
            column_list::<R>(&table),
            key.join(&format!(" {direction}, ")),
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
                let key = key_names::<R>().map(|name| last.get(name)).collect::<Result<_, _>>()?;
                Some(Cursor::write(R::TABLE, &by, last.get(&by)?, key)?)
            }
            _ => None,
        };
        Ok(Page { rows: rows.iter().map(R::from_row).collect::<Result<_, _>>()?, next })
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// As [`ReadModelQuery::get`].
    pub async fn count(self) -> Result<u64, Error> {
        self.wait(None).await?;
        let filter = self.filter.unwrap_or_else(|| Condition::of_sql("1 = 1", Params::new()));
        let (condition, params) = filter.into_parts();
        let sql = format!("SELECT count(*) AS rows FROM {} WHERE ({condition}\n)", quoted(R::TABLE));
        let rows = self.app.store().query(&sql, params).await?;
        Ok(rows.first().map(|row| row.get("rows")).transpose()?.unwrap_or(0))
    }

    fn ordering(&self) -> Result<(String, SortOrder), Error> {
        let Some((column, order)) = &self.order else {
            return Ok((R::COLUMNS[R::KEY[0]].name.to_owned(), SortOrder::Ascending));
        };
        match R::COLUMNS.iter().find(|known| known.name == column) {
            Some(known) if !known.nullable => Ok((column.clone(), *order)),
            Some(_) => {
                Err(Error::Wiring(format!("{} cannot be ordered by {column}, which may be NULL", R::TABLE)))
            }
            None => Err(Error::Wiring(format!("{} has no column {column} to order by", R::TABLE))),
        }
    }

    async fn wait(&self, key: Option<&RowKey>) -> Result<(), Error> {
        match self.wait_for {
            Some(position) => Wait::until(self.app, R::TABLE, key, position, self.deadline).await,
            None => Ok(()),
        }
    }
}

fn key_names<R: ReadModel>() -> impl Iterator<Item = &'static str> {
    R::KEY.iter().map(|at| R::COLUMNS[*at].name)
}

fn sql_type<R: ReadModel>(column: &str) -> &'static str {
    R::COLUMNS.iter().find(|known| known.name == column).map_or("", |known| known.sql_type)
}
