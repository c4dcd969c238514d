//! What handlers are declared with: a projection's or a consumer's name, its handlers and how they are run.

use crate::handler::dispatch::Handlers;
use crate::handler::effect::AnyHandler;
use crate::handler::options::{Options, Tombstones, UnknownTypes, option_methods};
use crate::handler::tables::Table;
use crate::handler::{Causal, ExternalHandler, Handler, Projector};
use crate::limits::{Circuit, Limits, Rate};
use factstream_core::message::{Decoded, Record};
use factstream_core::read_model::ReadModel;
use std::fmt;

/// A projection that writes SQL, fed from the store's log in order. **Exactly once.**
///
/// Its tables are declared with [`Projection::table`] and reached with [`Rows::table`](crate::Rows::table), so that it can be rebuilt.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::{Projection, Projector, params};
///
/// /// Counts the orders of each customer.
/// struct Counting;
///
/// impl Projector for Counting {
///     type Events = OrderEvent;
///
///     async fn project(&self, event: &Envelope<OrderEvent>, rows: &mut Rows) -> Result<(), Failure> {
///         if let OrderEvent::Created { customer_id } = &event.event {
///             let sql = format!(
///                 "INSERT INTO {} (customer_id, orders) VALUES ($1, 1) \
///                  ON CONFLICT (customer_id) DO UPDATE SET orders = {0}.orders + 1",
///                 rows.table("customers")
///             );
///             rows.sql(&sql, params![customer_id]).await?;
///         }
///         Ok(())
///     }
/// }
///
/// let table = "CREATE TABLE {table} (customer_id TEXT PRIMARY KEY, orders BIGINT NOT NULL)";
/// let customers = Projection::new("customers", Counting).table("customers", table, &[]);
/// # let app = testing::TestApp::start(App::builder("").projection(customers)).await;
/// # app.create(create()).await?;
/// # app.create(create()).await?;
/// # app.settle().await;
/// # assert_eq!(app.rows("SELECT orders FROM customers", params![]).await[0].get::<i64>("orders")?, 2);
/// # app.rebuilds_to_the_same_rows().await;
/// # Ok(())
/// # }
/// ```
pub struct Projection {
    pub(crate) name: String,
    pub(crate) options: Options,
    pub(crate) handlers: Handlers,
    pub(crate) tables: Vec<Table>,
}

impl Projection {
    /// A projection with one projector.
    pub fn new<P: Projector>(name: impl Into<String>, projector: P) -> Self {
        let mut handlers = Handlers::default();
        handlers.add(AnyHandler::projecting(projector));
        Self { name: name.into(), options: Options::default(), handlers, tables: Vec::new() }
    }

    /// A table of this projection: made at start, and made anew beside the live one by a rebuild. In the statements,
    /// `{table}` stands for its name: `CREATE TABLE {table} (..)`, `CREATE INDEX {table}_x ON {table} (..)`. A name that is a
    /// word of SQL's own is written in quotes: `CREATE TABLE "{table}" (..)`.
    pub fn table(mut self, name: &str, create: &str, indexes: &[&str]) -> Self {
        self.tables.push(Table::written(name, create, indexes));
        self
    }

    /// A table of this projection whose rows are of this type: made as for a read model, written with
    /// [`Rows::put`](crate::Rows::put) and read with [`App::read`](crate::App::read).
    pub fn table_of<R: ReadModel>(mut self) -> Self {
        self.tables.push(Table::of::<R>());
        self
    }

    /// The version of its logic. Raise it when the handler makes other rows of the same events: a projection with tables of its
    /// own is then rebuilt. Changed tables and event types are noticed without it.
    pub fn version(mut self, version: u32) -> Self {
        self.options.version = version;
        self
    }

    /// Splits it by the aggregate's id into so many parts, each with an owner of its own, so that several processes handle
    /// it: for projections whose rows of different aggregates are apart. Another number takes effect with the first process that
    /// declares it: no event is handled twice, and processes with the old number stand by.
    pub fn shards(mut self, shards: u32) -> Self {
        self.options.shards = shards.max(1);
        self
    }

    option_methods!();
}

/// A named group of handlers, fed from the topics of their events. **Exactly-once effects.**
///
/// No auto-commit: progress is committed after the work. Duplicates are known by their event id (G6).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// use factstream::{Consumer, Retry};
/// # use std::time::Duration;
/// # fn main() {
///
/// let mailing = Consumer::new("mailing") // its name: the group in the broker, and what its dead letters are listed by
///     .handler(Mailing)
///     .retry(Retry { max_attempts: 5, ..Retry::default() })
///     .time_limit(Duration::from_secs(5));
/// let builder = App::builder("sqlite://orders.db").consumer(mailing);
/// # let _ = builder;
/// # }
/// ```
pub struct Consumer {
    pub(crate) name: String,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) handlers: Handlers,
    pub(crate) tables: Vec<Table>,
}

impl Consumer {
    /// A consumer group of this name.
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            name: group.into(),
            options: Options::default(),
            limits: Limits::default(),
            handlers: Handlers::default(),
            tables: Vec::new(),
        }
    }

    /// Adds a handler with effects inside the store. Each event type has one handler in a group.
    pub fn handler<H: Handler>(mut self, handler: H) -> Self {
        self.handlers.add(AnyHandler::handling(handler));
        self
    }

    /// Adds a handler that asks the outside world first.
    pub fn external<C: ExternalHandler>(mut self, external: C) -> Self {
        self.handlers.add(AnyHandler::calling(external));
        self
    }

    /// A table of this consumer: made when the application is opened and it is not there; in the statements, `{table}` stands for its
    /// name, as for [`Projection::table`].
    ///
    /// Its rows cannot be made anew from the log, so a table that this build declares otherwise than the store has it is refused:
    /// change the table, then delete its row from `fs_read_models`, and it is taken as it is.
    pub fn table(mut self, name: &str, create: &str, indexes: &[&str]) -> Self {
        self.tables.push(Table::written(name, create, indexes));
        self
    }

    /// A table of this consumer whose rows are of this type: as [`Consumer::table`], written with
    /// [`Rows::put`](crate::Rows::put) and read with [`App::read`](crate::App::read).
    ///
    /// ```
    /// use factstream::{Consumer, ReadModel};
    ///
    /// #[derive(ReadModel, Clone)]
    /// #[read_model(table = "rates")]
    /// struct Rate {
    ///     #[column(key)]
    ///     pair: String,
    ///     rate: f64,
    /// }
    ///
    /// let consumer = Consumer::new("pricing").table_of::<Rate>();
    /// # let _ = consumer;
    /// ```
    pub fn table_of<R: ReadModel>(mut self) -> Self {
        self.tables.push(Table::of::<R>());
        self
    }

    /// Reads records of other teams' formats, before the framework does and beside what was given before (the first that answers counts): CloudEvents, values in quotes or in a frame, types in
    /// headers of another name, .. `Ok(None)` leaves the record to the framework.
    ///
    /// It has to be pure: a record is decoded again when it is delivered again, and when its dead letter is redriven (after
    /// an edit, with the new value). An error, or a panic, makes the record a dead letter, bytes intact (G12).
    ///
    /// ```
    /// use factstream::message::{Decoded, Record};
    /// use factstream::Consumer;
    ///
    /// /// CloudEvents in binary mode: attributes are headers, the value is the data.
    /// fn cloud_event(record: &Record) -> Result<Option<Decoded>, serde_json::Error> {
    ///     let (Some(kind), Some(id)) = (record.header("ce_type"), record.header("ce_id")) else { return Ok(None) };
    ///     let value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
    ///     let event = Decoded::new(kind, value).event_id(id).source(record.header("ce_source").unwrap_or_default());
    ///     Ok(Some(match record.header("ce_subject") {
    ///         Some(subject) => event.aggregate_id(subject),
    ///         None => event,
    ///     }))
    /// }
    ///
    /// let consumer = Consumer::new("billing").decode_with(cloud_event);
    /// # let _ = consumer;
    /// ```
    pub fn decode_with<E>(
        mut self,
        decode: impl Fn(&Record) -> Result<Option<Decoded>, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.handlers.decode_with(decode);
        self
    }

    /// Handles an event after those of its last 16 causes that this consumer takes, too, whatever their stream or topic; or after the stated
    /// wait, which is counted (G19).
    ///
    /// Causes are those that factstream has recorded: the event because of which a handler, a process or a timer acted, and what led to that.
    /// An event of a type that this consumer handles, from a topic that it reads, is waited for until it is handled or discarded, and as
    /// long as it is younger than [`Retention::inbox`](crate::Retention::inbox). Later events of the same key wait behind. None of it is a
    /// failure or an attempt.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
    /// use factstream::{Causal, Consumer, Late};
    /// # use std::time::Duration;
    /// # fn main() {
    ///
    /// let analytics = Consumer::new("analytics")
    ///     .handler(Mailing)
    ///     .causal(Causal::wait(Duration::from_secs(30)).then(Late::Handle));
    /// # let _ = analytics;
    /// # }
    /// ```
    pub fn causal(mut self, causal: Causal) -> Self {
        self.options.causal = Some(causal);
        self
    }

    /// How many events it handles, or of an external handler how many calls it starts, at most (G20). Each event is then handled in a
    /// transaction of its own.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.limits.rate = Some(rate);
        self
    }

    /// Pauses as a whole when nothing works, instead of failing with each event (G20). Each event is then handled in a transaction of its
    /// own.
    pub fn circuit(mut self, circuit: Circuit) -> Self {
        self.limits.circuit = Some(circuit);
        self
    }

    /// What to do with tombstones: records without a value.
    pub fn tombstones(mut self, policy: Tombstones) -> Self {
        self.options.tombstones = policy;
        self
    }

    /// What to do with event types that no handler of this group names.
    pub fn unknown_types(mut self, policy: UnknownTypes) -> Self {
        self.options.unknown_types = policy;
        self
    }

    option_methods!();
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projection").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("name", &self.name).finish_non_exhaustive()
    }
}
