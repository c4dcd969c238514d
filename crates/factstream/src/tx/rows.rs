//! The rows within a transaction: SQL, and rows of read models, on a projection's own tables. What a projection is given.
//!
//! Invariants: rows that were put are buffered and written together before whatever could see them: the next statement, or the
//! commit. Nothing here appends an event: what a projection does is done again by a rebuild (G10).

use super::columns::{column_list, with_key};
use crate::error::Error;
use factstream_core::read_model::{ReadModel, RowKey};
use factstream_core::sql::{Params, Row, Value, quoted};
use factstream_core::store::{Dependent, StoreError, TableRows, Transaction};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// Rows that are put and wait to be written.
const PUTS_MAX: usize = 5_000;
/// About how many bytes they may take.
const PUTS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The rows within a transaction: what a [`Projector`](crate::Projector) is given, and a part of every [`Tx`](crate::Tx).
///
/// ```
/// use factstream::{Rows, params};
///
/// async fn count(rows: &mut Rows, customer_id: &str) -> Result<(), factstream::Failure> {
///     let sql = format!("UPDATE {} SET orders = orders + 1 WHERE customer_id = $1", rows.table("customers"));
///     rows.sql(&sql, params![customer_id]).await?;
///     Ok(())
/// }
/// # let _ = count;
/// ```
pub struct Rows {
    inner: Box<dyn Transaction>,
    tables: TableNames,
    puts: Vec<Puts>,
    /// What the store has reported that is not this work's fault, whether or not it was passed on.
    fault: Option<StoreError>,
}

/// Rows of one table that are to be written.
struct Puts {
    rows: TableRows,
    places: HashMap<RowKey, usize>,
    /// The bytes of all that was put, also of what another row has taken the place of.
    bytes: usize,
}

impl Puts {
    /// Adds a row, or puts it in the place of the one with its key; whether they are to be written now.
    fn put(&mut self, key: RowKey, values: Params) -> bool {
        self.bytes += values.iter().map(Value::bytes).sum::<usize>();
        match self.places.entry(key) {
            Entry::Occupied(place) => self.rows.rows[*place.get()] = values,
            Entry::Vacant(place) => {
                place.insert(self.rows.rows.len());
                self.rows.rows.push(values);
            }
        }
        self.rows.rows.len() >= PUTS_MAX || self.bytes >= PUTS_BYTES_MAX
    }
}

/// Rows of a read model for this table, in place of those with their keys.
pub(crate) fn rows_of<R: ReadModel>(table: String, rows: Vec<Params>) -> TableRows {
    let columns = R::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    TableRows { table, columns, rows, replace_by: R::KEY.to_vec() }
}

/// Where a projection's tables are: live, or beside the live ones while it is rebuilt.
#[derive(Debug, Clone, Default)]
pub(crate) enum TableNames {
    #[default]
    Live,
    /// Those of a rebuild, by its number.
    Staging(u64),
}

impl TableNames {
    pub(crate) fn of(&self, table: &str) -> String {
        match self {
            Self::Live => table.to_owned(),
            Self::Staging(rebuild) => format!("{table}__r{rebuild}"),
        }
    }
}

impl Rows {
    pub(crate) fn new(inner: Box<dyn Transaction>, tables: TableNames) -> Self {
        Self { inner, tables, puts: Vec::new(), fault: None }
    }

    /// The engine's transaction, for what does not see rows that wait to be written.
    pub(crate) fn inner(&mut self) -> &mut dyn Transaction {
        self.inner.as_mut()
    }

    pub(crate) fn into_inner(self) -> Box<dyn Transaction> {
        self.inner
    }

    pub(crate) fn noted<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done
            && (error.is_infrastructure() || matches!(error, StoreError::Contention(_)))
        {
            self.fault.get_or_insert_with(|| error.clone());
        }
        done
    }

    /// The first thing that the store has reported that is not this work's fault.
    pub(crate) fn take_fault(&mut self) -> Option<StoreError> {
        self.fault.take()
    }

    /// Runs one writing statement; the number of rows it touched. Placeholders are `$1`, `$2`, ..
    ///
    /// # Errors
    /// [`StoreError::Statement`] when the database refuses it.
    pub async fn sql(&mut self, sql: &str, params: Params) -> Result<u64, StoreError> {
        self.write_puts().await?;
        let done = self.inner.execute(sql, params).await;
        self.noted(done)
    }

    /// Runs one writing statement for each set of parameters, in one trip; the rows that each touched.
    ///
    /// # Errors
    /// As [`Rows::sql`]; the first failure ends it.
    pub async fn sql_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError> {
        self.write_puts().await?;
        let done = self.inner.execute_many(sql, params).await;
        self.noted(done)
    }

    /// Puts a row into its table, in place of the one with its key, if there is one. Of one key, the last row stays.
    ///
    /// Rows are written together, with those that other events of the batch put, before the next statement or the commit: much
    /// faster than a statement for each. Inside a projection the row goes to [`Rows::table`] of its table.
    ///
    /// ```
    /// # use factstream::{Envelope, Event, Failure, Projector, ReadModel, Rows};
    /// # #[derive(Event, serde::Serialize, serde::Deserialize)]
    /// # enum OrderEvent { #[event(name = "OrderCreated")] Created { customer_id: String } }
    /// #[derive(ReadModel, Clone)]
    /// #[read_model(table = "customers_of_orders")]
    /// struct CustomerOfOrder {
    ///     #[column(key)]
    ///     order_id: String,
    ///     customer_id: String,
    /// }
    ///
    /// # struct Remember;
    /// impl Projector for Remember {
    ///     type Events = OrderEvent;
    ///
    ///     async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
    ///         let OrderEvent::Created { customer_id } = &event.event;
    ///         let order_id = event.aggregate_id.clone();
    ///         rows.put(&CustomerOfOrder { order_id, customer_id: customer_id.clone() }).await?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// When a field cannot be written as JSON, or its key is neither text nor a whole number; and as [`Rows::sql`], for
    /// this row or one that was put before.
    pub async fn put<R: ReadModel>(&mut self, row: &R) -> Result<(), Error> {
        let key = row.key().map_err(|error| Error::of_key::<R>(&error))?;
        let values = row
            .to_row()
            .map_err(|source| Error::Encode { what: format!("a row of {}", R::TABLE), source })?;
        let table = self.table(R::TABLE);
        let none = |table| rows_of::<R>(table, Vec::new());
        Ok(self.put_in(table, none, key, values).await?)
    }

    /// Puts a row into this table, as [`Rows::put`] does; `none` is the table without rows.
    pub(crate) async fn put_in(
        &mut self,
        table: String,
        none: impl FnOnce(String) -> TableRows,
        key: RowKey,
        values: Params,
    ) -> Result<(), StoreError> {
        let known = self.puts.iter().position(|puts| puts.rows.table == table);
        let at = known.unwrap_or_else(|| {
            self.puts.push(Puts { rows: none(table), places: HashMap::new(), bytes: 0 });
            self.puts.len() - 1
        });
        match self.puts[at].put(key, values) {
            true => self.write_puts().await,
            false => Ok(()),
        }
    }

    /// The row of a table with this key, as this transaction sees it: with rows that it has put. Inside a projection it is that of
    /// [`Rows::table`].
    ///
    /// ```
    /// # use factstream::{Failure, ReadModel, Rows};
    /// #[derive(ReadModel, Clone)]
    /// #[read_model(table = "counters")]
    /// struct Counter {
    ///     #[column(key)]
    ///     name: String,
    ///     count: i64,
    /// }
    ///
    /// async fn count(rows: &mut Rows, name: &str) -> Result<(), Failure> {
    ///     let before = rows.get::<Counter>(name).await?.map_or(0, |counter| counter.count);
    ///     rows.put(&Counter { name: name.to_owned(), count: before + 1 }).await?;
    ///     Ok(())
    /// }
    /// # let _ = count;
    /// ```
    ///
    /// # Errors
    /// As [`Rows::sql`], and when the row does not fit its struct.
    pub async fn get<R: ReadModel>(&mut self, key: impl Into<R::Key>) -> Result<Option<R>, Error> {
        let key = R::key_of(key.into()).map_err(|error| Error::of_key::<R>(&error))?;
        let table = quoted(&self.table(R::TABLE));
        let sql =
            format!("SELECT {} FROM {table} WHERE {}", column_list::<R>(&table), with_key::<R>(&table, 1));
        let rows = self.query(&sql, key.values()).await?;
        Ok(rows.first().map(R::from_row).transpose()?)
    }

    pub(crate) async fn write_puts(&mut self) -> Result<(), StoreError> {
        for puts in std::mem::take(&mut self.puts) {
            let done = self.inner.write_rows(puts.rows).await;
            self.noted(done)?;
        }
        Ok(())
    }

    /// Writes rows of one table, the fastest way that the engine has.
    pub(crate) async fn write_rows(&mut self, rows: TableRows) -> Result<(), StoreError> {
        self.write_puts().await?;
        let done = self.inner.write_rows(rows).await;
        self.noted(done)
    }

    /// What people have put on these tables.
    pub(crate) async fn dependents(&mut self, tables: &[String]) -> Result<Vec<Dependent>, StoreError> {
        self.inner.dependents(tables).await
    }

    /// Runs one statement that answers with rows. It sees what this transaction wrote, but not the events that it has appended.
    ///
    /// # Errors
    /// As [`Rows::sql`].
    pub async fn query(&mut self, sql: &str, params: Params) -> Result<Vec<Row>, StoreError> {
        self.write_puts().await?;
        let done = self.inner.query(sql, params).await;
        self.noted(done)
    }

    /// The name under which to reach a projection's own table: its name, or while the projection is being rebuilt, the
    /// name of the new table beside it. A projection that writes SQL asks for it, so that a rebuild never touches the
    /// live rows.
    pub fn table(&self, name: &str) -> String {
        self.tables.of(name)
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}
