//! The transaction that a handler is given: SQL, events and commands that take effect together, or not at all (G6).
//!
//! Invariants: events appended here are buffered and inserted as the last statements before the commit (the position
//! lock is taken last); a later [`Tx::load`] or [`Tx::command`] in the same transaction sees them. Rows that were put are
//! buffered, too, and written together before whatever could see them: the next statement, or the commit.

use crate::app::App;
use crate::error::{Error, ExecuteError};
use crate::execute::Done;
use crate::origin::Origin;
use crate::read_model::fold::Key;
use crate::statements as sql;
use crate::states::{State, check_begins, horizon_of};
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::{RecordedEvent, StreamId, Version};
use factstream_core::params;
use factstream_core::read_model::ReadModel;
use factstream_core::sql::{Params, Row};
use factstream_core::store::{
    Append, Appended, Commit, Dependent, Expected, StoreError, TableRows, Transaction,
};
use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

const PAGE_EVENTS: usize = 1_000;
/// Rows that are put and wait to be written.
const PUTS_MAX: usize = 5_000;

/// A transaction on the store.
pub struct Tx {
    inner: Box<dyn Transaction>,
    app: App,
    origin: Origin,
    appends: Vec<Append>,
    states: HashMap<StreamId, Touched>,
    tables: TableNames,
    puts: Vec<Puts>,
    /// What the store has reported that is not this work's fault, whether or not it was passed on.
    fault: Option<StoreError>,
}

/// A stream that was looked at: its `State<A>` with what is buffered here, and how that is kept after the commit.
struct Touched {
    state: Box<dyn Any + Send + Sync>,
    keep: fn(&App, &StreamId, Box<dyn Any + Send + Sync>),
}

impl Touched {
    fn new<A: Aggregate>(state: State<A>) -> Self {
        let keep = |app: &App, stream: &StreamId, state: Box<dyn Any + Send + Sync>| {
            if let Ok(mut state) = state.downcast::<State<A>>() {
                app.states().snapshot_if_due(app.store(), stream, &mut state);
                app.states().put(stream, *state);
            }
        };
        Self { state: Box::new(state), keep }
    }
}

/// Rows of one table that are to be written.
struct Puts {
    rows: TableRows,
    places: HashMap<Key, usize>,
}

impl Puts {
    /// Adds a row, or puts it in the place of the one with its key; how many there are.
    fn put(&mut self, key: Key, values: Params) -> usize {
        match self.places.entry(key) {
            Entry::Occupied(place) => self.rows.rows[*place.get()] = values,
            Entry::Vacant(place) => {
                place.insert(self.rows.rows.len());
                self.rows.rows.push(values);
            }
        }
        self.rows.rows.len()
    }
}

/// Rows of a read model for this table, in place of those with their keys.
pub(crate) fn rows_of<R: ReadModel>(table: String, rows: Vec<Params>) -> TableRows {
    let columns = R::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    TableRows { table, columns, rows, replace_by: Some(R::KEY) }
}

/// Where a projection's tables are: live, or beside the live ones while it is rebuilt.
#[derive(Debug, Clone, Default)]
pub(crate) enum TableNames {
    #[default]
    Live,
    /// Those of a rebuild, by its number.
    Beside(u64),
}

impl TableNames {
    pub(crate) fn of(&self, table: &str) -> String {
        match self {
            Self::Live => table.to_owned(),
            Self::Beside(rebuild) => format!("{table}__r{rebuild}"),
        }
    }
}

impl Tx {
    pub(crate) fn new(app: App, inner: Box<dyn Transaction>, origin: Origin, tables: TableNames) -> Self {
        Self {
            inner,
            app,
            origin,
            appends: Vec::new(),
            states: HashMap::new(),
            tables,
            puts: Vec::new(),
            fault: None,
        }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    fn noted<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
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

    /// What follows is caused by this.
    pub(crate) fn caused_by(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Runs one writing statement; the number of rows it touched. Placeholders are `$1`, `$2`, ..
    ///
    /// # Errors
    /// [`StoreError::Statement`] when the database refuses it.
    pub async fn execute(&mut self, sql: &str, params: Params) -> Result<u64, StoreError> {
        self.write_puts().await?;
        let done = self.inner.execute(sql, params).await;
        self.noted(done)
    }

    /// Runs one writing statement for each set of parameters, in one trip; the rows that each touched.
    ///
    /// # Errors
    /// As [`Tx::execute`]; the first failure ends it.
    pub async fn execute_many(&mut self, sql: &str, params: Vec<Params>) -> Result<Vec<u64>, StoreError> {
        self.write_puts().await?;
        let done = self.inner.execute_many(sql, params).await;
        self.noted(done)
    }

    /// Puts a row into its table, in place of the one with its key, if there is one. Of one key, the last row stays.
    ///
    /// Rows are written together, with those that other events of the batch put, before the next statement or the commit: much
    /// faster than a statement for each. Inside a projection the row goes to [`Tx::table`] of its table.
    ///
    /// ```
    /// # use factstream::{Envelope, Event, Failure, Handler, ReadModel, Tx};
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
    /// impl Handler for Remember {
    ///     type Events = OrderEvent;
    ///
    ///     async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
    ///         let OrderEvent::Created { customer_id } = &event.event;
    ///         let order_id = event.aggregate_id.clone();
    ///         tx.put(&CustomerOfOrder { order_id, customer_id: customer_id.clone() }).await?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// When a field cannot be written as JSON, or its key is neither text nor a whole number; and as [`Tx::execute`], for
    /// this row or one that was put before.
    pub async fn put<R: ReadModel>(&mut self, row: &R) -> Result<(), Error> {
        let key = row.key();
        let key = Key::of(key).map_err(|key| {
            Error::Wiring(format!(
                "{key:?} cannot be the key of a row of {}; use text or a whole number",
                R::TABLE
            ))
        })?;
        let values = row
            .to_row()
            .map_err(|source| Error::Encode { what: format!("a row of {}", R::TABLE), source })?;
        let table = self.table(R::TABLE);
        let known = self.puts.iter().position(|puts| puts.rows.table == table);
        let at = known.unwrap_or_else(|| {
            self.puts.push(Puts { rows: rows_of::<R>(table, Vec::new()), places: HashMap::new() });
            self.puts.len() - 1
        });
        if self.puts[at].put(key, values) >= PUTS_MAX {
            self.write_puts().await?;
        }
        Ok(())
    }

    async fn write_puts(&mut self) -> Result<(), StoreError> {
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

    /// Runs one statement that answers with rows. It sees what this transaction wrote, but not its buffered events.
    ///
    /// # Errors
    /// As [`Tx::execute`].
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

    /// The state of an aggregate, with what this transaction has appended.
    ///
    /// # Errors
    /// When its events cannot be read or decoded.
    pub async fn load<A: Aggregate>(&mut self, id: &str) -> Result<(A, Version), Error> {
        let stream = StreamId::new(A::CATEGORY, id)?;
        let state = self.state::<A>(&stream).await?;
        Ok((state.of, state.version))
    }

    /// Appends events to an aggregate's stream, whatever its version: for facts that no decision stands on.
    ///
    /// # Errors
    /// When the id is not valid or the events cannot be written as JSON.
    pub async fn append<A: Aggregate>(&mut self, id: &str, events: &[A::Event]) -> Result<Version, Error> {
        let stream = StreamId::new(A::CATEGORY, id)?;
        let state = self.state::<A>(&stream).await?;
        self.buffer(&stream, state, events)
    }

    /// Puts a command to an aggregate. Its events commit with everything else of this transaction.
    ///
    /// The position is not known before the commit, so [`Done::position`] is 0.
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] with the aggregate's own words; nothing was appended for this command.
    pub async fn command<A, C>(&mut self, id: &str, command: C) -> Result<Done, ExecuteError<C::Error>>
    where
        A: Aggregate,
        C: Command<A>,
    {
        let stream = StreamId::new(A::CATEGORY, id).map_err(Error::from)?;
        let state = self.state::<A>(&stream).await?;
        let events = command.decide(&state.of).map_err(ExecuteError::Rejected)?;
        let version = self.buffer(&stream, state, &events)?;
        Ok(Done { aggregate_id: id.to_owned(), version, position: 0, repeated: false })
    }

    /// The engine's own transaction, where this is `T` (for example `factstream::sqlite::SqliteTransaction`).
    ///
    /// # Errors
    /// As [`Tx::execute`], for rows that were put before.
    pub async fn native<T: 'static>(&mut self) -> Result<Option<&mut T>, StoreError> {
        self.write_puts().await?;
        Ok(self.inner.as_any().downcast_mut())
    }

    /// The state within this transaction, taken out of `states`.
    async fn state<A: Aggregate>(&mut self, stream: &StreamId) -> Result<State<A>, Error> {
        if let Some(touched) = self.states.get(stream) {
            let state = touched.state.downcast_ref::<State<A>>();
            return state.cloned().ok_or_else(|| {
                Error::Wiring(format!(
                    "two aggregate types use the category {}; give each its own",
                    stream.category()
                ))
            });
        }
        let states = self.app.states();
        let decoder = states.decoder::<A::Event>()?;
        let known = match states.peek::<A>(stream) {
            None => states.load_snapshot(self.app.store().as_ref(), stream).await?,
            cached => cached,
        };
        let mut state = known.unwrap_or_else(|| states.begin());
        loop {
            let events = self.read_stream(stream, state.version, PAGE_EVENTS).await?;
            state.fold(stream, &events, &decoder)?;
            if events.len() < PAGE_EVENTS {
                break;
            }
        }
        if state.version == 0 {
            check_begins(stream, 0, self.inner.query(sql::SELECT_HORIZON, horizon_of(stream)).await?)?;
        }
        self.states.insert(stream.clone(), Touched::new(state.clone()));
        Ok(state)
    }

    async fn read_stream(
        &mut self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let params = params![stream.category(), stream.id(), after, limit];
        let rows = self.inner.query(sql::SELECT_STREAM, params).await;
        let rows = self.noted(rows)?;
        Ok(rows.iter().map(sql::recorded_event).collect::<Result<_, _>>()?)
    }

    fn buffer<A: Aggregate>(
        &mut self,
        stream: &StreamId,
        mut state: State<A>,
        events: &[A::Event],
    ) -> Result<Version, Error> {
        if events.is_empty() {
            return Ok(state.version);
        }
        let expected = Expected::Exact(state.version);
        let (events_stamped, events) = self.origin.stamp_all(events)?;
        state.apply(&events);
        let version = state.version;
        self.appends.push(Append { stream: stream.clone(), expected, events: events_stamped });
        self.states.insert(stream.clone(), Touched::new(state));
        Ok(version)
    }

    /// Commits a transaction that began with [`App::begin`]. A handler's transaction is committed by the framework.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer was faster on one of its streams: everything is rolled back, and the whole
    /// work is to be done again.
    pub async fn commit(mut self) -> Result<Vec<Appended>, Error> {
        self.write_puts().await?;
        match self.inner.commit(self.appends).await? {
            Commit::Committed(appended) => {
                for (stream, Touched { state, keep }) in self.states {
                    keep(&self.app, &stream, state);
                }
                Ok(appended)
            }
            Commit::Conflict(conflict) => {
                self.app.states().fell_behind(&conflict);
                Err(Error::Conflict(conflict))
            }
        }
    }
}
