//! The transaction that a handler is given: SQL, events and commands that take effect together, or not at all (G6).
//!
//! Invariants: events appended here are buffered and inserted as the last statements before the commit (the position
//! lock is taken last); a later [`Tx::load`] or [`Tx::command`] in the same transaction sees them. The SQL stands in
//! [`rows`].

mod columns;
mod rows;
mod ahead;

use crate::error::{Error, ExecuteError};
use crate::kernel::Kernel;
use crate::kernel::origin::Origin;
use crate::kernel::states::{State, check_begins, horizon_of};
use crate::{refusals, statements as sql};
use ahead::Ahead;
pub(crate) use columns::{column_list, column_of, with_key, with_one_of_keys};
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::context::Context;
use factstream_core::decode::Decoder;
use factstream_core::envelope::{RecordedEvent, StreamId, Version};
use factstream_core::params;
use factstream_core::store::{Append, Appended, Commit, Expected, READ_BYTES_MAX, StoreError, Transaction};
pub use rows::Rows;
pub(crate) use rows::{TableNames, rows_of};
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

const PAGE_EVENTS: usize = 1_000;
/// Events of a stream that are read first; how many more come at once goes by their size.
const FIRST_PAGE_EVENTS: usize = 100;

/// A transaction on the store: everything that [`Rows`] can, and events, states and commands.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::{Handler, Tx, params};
///
/// /// Ships each order that is created, and keeps count.
/// struct Shipping;
///
/// impl Handler for Shipping {
///     type Events = OrderEvent;
///
///     async fn handle(&self, event: &Envelope<OrderEvent>, tx: &mut Tx) -> Result<(), Failure> {
///         if let OrderEvent::Created { .. } = event.event {
///             tx.command::<Order, _>(&event.aggregate_id, ship()).await?; // events, ..
///             tx.sql("UPDATE parcels SET sent = sent + $1", params![1]).await?; // .. and SQL: together or not at all
///         }
///         Ok(())
///     }
/// }
/// # let table = "CREATE TABLE {table} (sent BIGINT NOT NULL)";
/// # let app = testing::TestApp::start(App::builder("").consumer(Consumer::new("shipping").handler(Shipping).table("parcels", table, &[]))).await;
/// # let mut tx = app.begin().await?;
/// # tx.sql("INSERT INTO parcels VALUES (0)", params![]).await?;
/// # tx.commit().await?;
/// # app.execute("o-1", create()).await?;
/// # app.settle().await;
/// # assert_eq!(app.events::<Order>("o-1").await.len(), 2);
/// # assert_eq!(app.rows("SELECT sent FROM parcels", params![]).await[0].get::<i64>("sent")?, 1);
/// # Ok(())
/// # }
/// ```
pub struct Tx {
    rows: Rows,
    kernel: Arc<Kernel>,
    origin: Origin,
    /// As it was before a context was given.
    own_origin: Origin,
    appends: Vec<Append>,
    states: HashMap<StreamId, Touched>,
    /// Streams that events were appended to without a look at them.
    unseen: HashMap<StreamId, Unseen>,
    /// Streams that were read before they are looked at.
    ahead: HashMap<StreamId, Ahead>,
    /// Whether it has set timers, which is news once it is committed.
    sets_timers: bool,
}

impl Deref for Tx {
    type Target = Rows;

    fn deref(&self) -> &Rows {
        &self.rows
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Rows {
        &mut self.rows
    }
}

/// What a command in a transaction was decided to. It has no position before the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decided<E> {
    /// The stream's version after it.
    pub version: Version,
    /// Its events.
    pub events: Vec<E>,
}

/// A stream that was looked at: its `State<A>` with what is buffered here, and how that is kept after the commit.
struct Touched {
    state: Box<dyn Any + Send + Sync>,
    keep: fn(&Kernel, &StreamId, Box<dyn Any + Send + Sync>),
}

/// What was appended to a stream that was not loaded.
struct Unseen {
    /// A `Vec` of the aggregate's events.
    events: Box<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Unseen {
    fn new<A: Aggregate>() -> Self {
        Self { events: Box::new(Vec::<A::Event>::new()), bytes: 0 }
    }
}

fn two_aggregates(stream: &StreamId) -> Error {
    Error::Wiring(format!(
        "two aggregates have the same TYPE, {}; give each its own",
        stream.aggregate_type()
    ))
}

impl Touched {
    fn new<A: Aggregate>(state: State<A>) -> Self {
        let keep = |kernel: &Kernel, stream: &StreamId, state: Box<dyn Any + Send + Sync>| {
            if let Ok(mut state) = state.downcast::<State<A>>() {
                kernel.states.snapshot_if_due(&kernel.store, stream, &mut state);
                kernel.states.put(stream, *state);
            }
        };
        Self { state: Box::new(state), keep }
    }
}

impl Tx {
    pub(crate) fn new(
        kernel: Arc<Kernel>,
        inner: Box<dyn Transaction>,
        origin: Origin,
        tables: TableNames,
    ) -> Self {
        let own_origin = origin.clone();
        let (rows, appends) = (Rows::new(inner, tables), Vec::new());
        let (states, unseen, ahead) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { rows, kernel, origin, own_origin, appends, states, unseen, ahead, sets_timers: false }
    }

    /// Begins a transaction on the live tables.
    pub(crate) async fn begin(kernel: &Arc<Kernel>) -> Result<Self, Error> {
        Self::begin_as(kernel, kernel.origin()).await
    }

    /// Begins a transaction on the live tables, whose events have this origin.
    pub(crate) async fn begin_as(kernel: &Arc<Kernel>, origin: Origin) -> Result<Self, Error> {
        let inner = kernel.store.begin().await?;
        Ok(Self::new(Arc::clone(kernel), inner, origin, TableNames::Live))
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Who asks, in which conversation and trace, for what this transaction appends from now on.
    ///
    /// A handler's transaction has the context of its event already; what is not said here stays so.
    ///
    /// ```
    /// # use factstream::{App, Context, Error};
    /// # async fn example(app: &App) -> Result<(), Error> {
    /// let mut tx = app.begin().await?;
    /// tx.set_context(&Context::new().actor("user-7").correlation_id("request-42"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidContext`] when it cannot be recorded; the transaction keeps the context that it has.
    pub fn set_context(&mut self, context: &Context) -> Result<(), Error> {
        context.check()?;
        self.origin = self.own_origin.with(context.clone());
        Ok(())
    }

    /// It sets timers: whoever waits for the next one is to be told of it at the commit.
    pub(crate) fn sets_timers(&mut self) {
        self.sets_timers = true;
    }

    /// Who asks, in which conversation: as JSON, for what is done later because of it.
    pub(crate) fn origin_json(&self) -> Result<String, Error> {
        self.origin.json()
    }

    /// As [`Tx::set_context`], for a while: gives what [`Tx::restore_context`] takes.
    pub(crate) fn replace_context(&mut self, context: &Context) -> Result<Origin, Error> {
        let before = self.origin.clone();
        self.set_context(context)?;
        Ok(before)
    }

    pub(crate) fn restore_context(&mut self, before: Origin) {
        self.origin = before;
    }

    /// What follows is caused by this.
    pub(crate) fn caused_by(&mut self, origin: Origin) {
        self.own_origin = origin.clone();
        self.origin = origin;
    }

    /// The state of an aggregate, with what this transaction has appended.
    ///
    /// # Errors
    /// When its events cannot be read or decoded.
    pub async fn load<A: Aggregate>(&mut self, id: &str) -> Result<(A, Version), Error> {
        let stream = StreamId::new(A::TYPE, id)?;
        let state = self.state::<A>(&stream).await?;
        Ok((state.of, state.version))
    }

    /// Appends events to an aggregate's stream, whatever its version: for facts that no decision stands on. Nothing of the stream is
    /// read, and other writers are in nobody's way. But where this transaction loads the aggregate or puts a command to it, before or after,
    /// the stream must still be as it was loaded.
    ///
    /// # Errors
    /// When the id is not valid or the events cannot be written as JSON.
    pub async fn append<A: Aggregate>(&mut self, id: &str, events: &[A::Event]) -> Result<(), Error> {
        let stream = StreamId::new(A::TYPE, id)?;
        if self.states.contains_key(&stream) {
            let state = self.state::<A>(&stream).await?;
            return self.buffer(&stream, state, events).map(drop);
        }
        self.kernel.states.admit::<A>()?;
        if events.is_empty() {
            return Ok(());
        }
        let (stamped, events) = self.origin.stamp_all(events)?;
        let unseen = self.unseen.entry(stream.clone()).or_insert_with(Unseen::new::<A>);
        let Some(known) = unseen.events.downcast_mut::<Vec<A::Event>>() else {
            return Err(two_aggregates(&stream));
        };
        known.extend(events);
        unseen.bytes += stamped.iter().map(|event| event.data.len()).sum::<usize>();
        self.appends.push(Append { stream, expected: Expected::Any, events: stamped });
        Ok(())
    }

    /// Appends a fact of the framework's own, which no aggregate is made of.
    pub(crate) fn append_fact(
        &mut self,
        stream: StreamId,
        event_type: String,
        schema_version: u32,
        data: String,
    ) -> Result<(), Error> {
        let event = self.origin.stamp_fact(event_type, schema_version, data)?;
        self.appends.push(Append { stream, expected: Expected::Any, events: vec![event] });
        Ok(())
    }

    /// Puts a command to an aggregate. Its events commit with everything else of this transaction.
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] with the aggregate's own words; nothing was appended for this command.
    pub async fn command<A, C>(
        &mut self,
        id: &str,
        command: C,
    ) -> Result<Decided<A::Event>, ExecuteError<C::Error>>
    where
        A: Aggregate,
        C: Command<A>,
    {
        let decided = self.decide::<A, C>(id, command).await;
        decided.inspect_err(|_| refusals::register::<C::Error>())
    }

    async fn decide<A, C>(
        &mut self,
        id: &str,
        command: C,
    ) -> Result<Decided<A::Event>, ExecuteError<C::Error>>
    where
        A: Aggregate,
        C: Command<A>,
    {
        let stream = StreamId::new(A::TYPE, id).map_err(Error::from)?;
        let state = self.state::<A>(&stream).await?;
        let events = command.decide(&state.of).map_err(ExecuteError::Rejected)?;
        let version = self.buffer(&stream, state, &events)?;
        Ok(Decided { version, events })
    }

    /// The engine's own transaction, where this is `T` (for example `factstream::sqlite::SqliteTransaction`).
    ///
    /// # Errors
    /// As [`Rows::sql`], for rows that were put before.
    pub async fn native<T: 'static>(&mut self) -> Result<Option<&mut T>, StoreError> {
        self.rows.write_puts().await?;
        Ok(self.rows.inner().as_any().downcast_mut())
    }

    /// The state within this transaction, taken out of `states`.
    async fn state<A: Aggregate>(&mut self, stream: &StreamId) -> Result<State<A>, Error> {
        if let Some(touched) = self.states.get(stream) {
            let state = touched.state.downcast_ref::<State<A>>();
            return state.cloned().ok_or_else(|| two_aggregates(stream));
        }
        let states = &self.kernel.states;
        states.admit::<A>()?;
        let decoder = states.decoder::<A::Event>()?;
        let known = match states.peek::<A>(stream) {
            None => states.load_snapshot(self.kernel.store.as_ref(), stream).await?,
            cached => cached,
        };
        let mut state = known.unwrap_or_else(|| states.begin());
        let ahead = self.ahead.remove(stream).filter(|ahead| ahead.after == state.version);
        let horizon = if let Some(Ahead { events, horizon, .. }) = ahead {
            state.fold(stream, &events, &decoder)?;
            horizon
        } else {
            self.read_on(stream, &mut state, &decoder).await?;
            match state.version {
                0 => self.rows.inner().query(sql::SELECT_HORIZON, horizon_of(stream)).await?,
                _ => Vec::new(),
            }
        };
        check_begins(stream, state.version, horizon)?;
        self.see_unseen::<A>(stream, &mut state)?;
        self.states.insert(stream.clone(), Touched::new(state.clone()));
        Ok(state)
    }

    /// Folds what the stream has after the state.
    async fn read_on<A: Aggregate>(
        &mut self,
        stream: &StreamId,
        state: &mut State<A>,
        decoder: &Decoder,
    ) -> Result<(), Error> {
        let mut page_events = FIRST_PAGE_EVENTS;
        loop {
            let events = self.read_stream(stream, state.version, page_events).await?;
            state.fold(stream, &events, decoder)?;
            if events.len() < page_events {
                return Ok(());
            }
            let bytes = events.iter().map(RecordedEvent::bytes).sum::<usize>() / events.len();
            page_events = (READ_BYTES_MAX / bytes.max(1)).clamp(1, PAGE_EVENTS);
        }
    }

    /// The state with what was appended before it was loaded. What is decided on it stands on the version that was loaded.
    fn see_unseen<A: Aggregate>(&mut self, stream: &StreamId, state: &mut State<A>) -> Result<(), Error> {
        let Some(Unseen { events, bytes }) = self.unseen.remove(stream) else { return Ok(()) };
        let events = events.downcast::<Vec<A::Event>>().map_err(|_| two_aggregates(stream))?;
        let mut version = state.version;
        for append in self.appends.iter_mut().filter(|append| append.stream == *stream) {
            append.expected = Expected::Exact(version);
            version += append.events.len() as Version;
        }
        state.apply(&events, bytes);
        Ok(())
    }

    async fn read_stream(
        &mut self,
        stream: &StreamId,
        after: Version,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, Error> {
        let params = params![stream.aggregate_type(), stream.id(), after, limit];
        let rows = self.rows.inner().query(sql::SELECT_STREAM, params).await;
        let rows = self.rows.noted(rows)?;
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
        state.apply(&events, events_stamped.iter().map(|event| event.data.len()).sum());
        let version = state.version;
        self.appends.push(Append { stream: stream.clone(), expected, events: events_stamped });
        self.states.insert(stream.clone(), Touched::new(state));
        Ok(version)
    }

    /// Commits a transaction that began with [`App::begin`](crate::App::begin). A handler's transaction is committed by the framework.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer was faster on one of its streams: everything is rolled back, and the whole
    /// work is to be done again.
    pub async fn commit(mut self) -> Result<Vec<Appended>, Error> {
        self.rows.write_puts().await?;
        match self.rows.into_inner().commit(self.appends).await? {
            Commit::Committed(appended) => {
                for (stream, Touched { state, keep }) in self.states {
                    keep(&self.kernel, &stream, state);
                }
                if self.sets_timers {
                    self.kernel.timer_news.tell();
                }
                Ok(appended)
            }
            Commit::Conflict(conflict) => {
                self.kernel.states.fell_behind(&conflict);
                Err(Error::Conflict(conflict))
            }
        }
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}
