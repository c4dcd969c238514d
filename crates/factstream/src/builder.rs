//! Putting an application together: what is declared, and how it is checked and wired when it is opened.

mod connect;
mod declared;
mod plan;
mod processes;
mod seals;
mod timed;

use crate::app::App;
use crate::error::Error;
use crate::handler::declare::{Consumer, Projection};
use crate::handler::options::Options;
use crate::handler::reaction::Reaction as _;
use crate::handler::tables::Managed;
use crate::kernel::states::{Limits, States};
use crate::kernel::turns::{self, WAIT_MAX, WAITING_MAX};
use crate::kernel::{Emitters, StoreClock, TestClock};
use crate::migrations;
use crate::processor::shard::Shard;
use crate::processor::{HandlerKind, Spec};
use crate::read_model::FoldRows;
use crate::redact::redact_url;
use crate::registry::{self, Build, UNNAMED};
use crate::retention::Retention;
use crate::runtime::mirror;
use crate::runtime::take_over::{self, Comeback};
use crate::scheduled;
use crate::scheduled::commands::Commands;
use crate::scheduled::recurring::Recurrences;
use declared::Declared;
use factstream_core::aggregate::Aggregate;
use factstream_core::broker::Topic;
use factstream_core::decode::Upcasters;
use factstream_core::envelope::check_id;
use factstream_core::event::{EventSet, EventType};
use factstream_core::recordable::EVENT_BYTES_MAX;
use factstream_core::store::Store;
use plan::Plan;
pub use processes::DeclareProcess;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Partitions that a topic gets when the application makes it.
const PARTITIONS: u32 = 6;
/// Events that a read model folds in one transaction: enough that rows touched twice are written once.
const READ_MODEL_BATCH: usize = 1_000;
/// Aggregate states kept in memory unless said otherwise, and about how many bytes of them.
const STATES_MAX: usize = 10_000;
const STATES_BYTES_MAX: usize = 64 * 1024 * 1024;

impl App {
    /// Opens a store with nothing but commands and queries on it; [`App::builder`] for more.
    ///
    /// # Errors
    /// When the store cannot be opened: the error says why and what to do.
    pub async fn open(store_url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(store_url).open().await
    }

    /// Begins an application on the store at this URL: `sqlite://orders.db`.
    pub fn builder(store_url: impl Into<String>) -> Builder {
        Builder::new(store_url.into())
    }

    /// Begins an application on a store that is open already: one of the engines with options of its own, or another implementation
    /// of the port.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), factstream::Error> {
    /// use factstream::App;
    /// use factstream::sqlite::{Options, SqliteStore};
    /// use std::sync::Arc;
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("orders.db");
    /// let store = SqliteStore::open_with(path, Options { readers: 8, ..Options::default() }).await?;
    /// let app = App::on(Arc::new(store)).open().await?;
    /// # assert_eq!(app.head().await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on(store: Arc<dyn Store>) -> Builder {
        Builder::new(String::new()).on(store)
    }
}

/// An application that is being put together.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use factstream::{App, Consumer, Retention};
///
/// # let dir = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}", dir.path().join("orders.db").display());
/// let builder = App::builder(url)
///     .service("orders")
///     .aggregate::<Order>()
///     .read_model::<OrderStatus>()
///     .consumer(Consumer::new("mailing").handler(Mailing))
///     .retention(Retention::default());
/// assert_eq!(builder.topics()[0].name, "orders.events");
/// let app = builder.open().await?;
/// # drop(app);
/// # Ok(())
/// # }
/// ```
#[must_use = "an application does nothing until it is opened"]
pub struct Builder {
    store_url: String,
    /// A store that is open already, in the place of the URL's.
    store: Option<Arc<dyn Store>>,
    clock: StoreClock,
    broker_url: String,
    namespace: Option<String>,
    service: String,
    formerly: BTreeSet<String>,
    states_max: usize,
    states_bytes_max: usize,
    turns: turns::Limits,
    event_bytes_max: usize,
    partitions: u32,
    mirrors_dead_letters: bool,
    seals_within: Option<Duration>,
    retention: Retention,
    topics: Vec<Topic>,
    pub(crate) upcasters: Upcasters,
    emitters: Box<Result<Emitters, Error>>,
    /// Those that aggregates record.
    pub(crate) recorded: Vec<&'static EventType>,
    pub(crate) event_types: Vec<&'static EventType>,
    handlers: Vec<Declared>,
    commands: Result<Commands, Error>,
    recurrences: Result<Recurrences, Error>,
}

/// Without the URLs, which may hold passwords.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers: Vec<&str> = self.handlers.iter().map(|declared| declared.name.as_str()).collect();
        f.debug_struct("Builder")
            .field("service", &self.service)
            .field("handlers", &handlers)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(store_url: String) -> Self {
        Self {
            store_url,
            store: None,
            clock: StoreClock::default(),
            broker_url: "embedded".to_owned(),
            namespace: None,
            service: UNNAMED.to_owned(),
            formerly: BTreeSet::new(),
            states_max: STATES_MAX,
            states_bytes_max: STATES_BYTES_MAX,
            turns: turns::Limits { waiting_max: WAITING_MAX, wait_max: WAIT_MAX },
            event_bytes_max: EVENT_BYTES_MAX,
            partitions: PARTITIONS,
            mirrors_dead_letters: false,
            seals_within: None,
            retention: Retention::default(),
            topics: Vec::new(),
            upcasters: Upcasters::new(),
            emitters: Box::new(Ok(Emitters::default())),
            recorded: Vec::new(),
            event_types: Vec::new(),
            handlers: Vec::new(),
            commands: Ok(Commands::default()),
            recurrences: Ok(Recurrences::default()),
        }
    }

    /// The broker: `embedded` (the default) keeps the topics in the store.
    pub fn broker(mut self, broker_url: impl Into<String>) -> Self {
        self.broker_url = broker_url.into();
        self
    }

    /// With a clock that a test moves, and the broker in the store.
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "tests run on SQLite"))]
    pub(crate) fn by_hand(mut self, clock: TestClock) -> Self {
        self.clock = StoreClock::by_hand(clock);
        "embedded".clone_into(&mut self.broker_url);
        self
    }

    /// On a store that is open already.
    pub(crate) fn on(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What stands before every topic and every consumer group in the broker, so that several systems share one cluster and stay
    /// apart: `eu.` makes `eu.orders.events` of `orders.events`. The code goes on with the names without it.
    ///
    /// The store keeps it from the first start on, and a process that is given another one is refused. Without this setting a
    /// process takes what the store says, and none in a new store.
    pub fn namespace(mut self, prefix: impl Into<String>) -> Self {
        self.namespace = Some(prefix.into());
        self
    }

    /// How many connections to PostgreSQL this process opens at most, 15 by default; at least 4. The same as `connections=N` in the
    /// URL; a SQLite file has no use for it.
    pub fn connections(mut self, connections: usize) -> Self {
        self.store_url = connect::with_connections(self.store_url, connections);
        self
    }

    /// The service's name: the `source` of every event that it records.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// A name that the service had before: its handlers go on under the new one. Without it, two services that declare one
    /// consumer are told apart, and refused.
    pub fn formerly(mut self, name: impl Into<String>) -> Self {
        self.formerly.insert(name.into());
        self
    }

    /// How many aggregate states are kept in memory: 10,000 unless said, at least 1.
    pub fn states_max(mut self, states: usize) -> Self {
        self.states_max = states;
        self
    }

    /// About how many bytes the aggregate states in memory may take together: 64 MiB unless said. The state of the newest command
    /// is kept whatever it takes.
    ///
    /// How much a state takes is estimated by its snapshot and the data of the events after that, as they lie in the store. A state that is
    /// small, and owns memory, and has a long history is therefore given [snapshots](Aggregate::snapshots), which also make its
    /// first load fast.
    pub fn states_bytes_max(mut self, bytes: usize) -> Self {
        self.states_bytes_max = bytes;
        self
    }

    /// How many commands may wait for one aggregate in this process (4,096 by default), and how long (10 s). One that finds the queue full, or
    /// waits longer, fails with [`Error::StreamBusy`], and nothing of it is stored.
    pub fn command_queue(mut self, waiting_max: usize, wait_max: Duration) -> Self {
        self.turns = turns::Limits { waiting_max, wait_max };
        self
    }

    /// How many bytes one event's data and metadata may have: [`EVENT_BYTES_MAX`] unless said, which is what Kafka takes by
    /// default. An event with more is refused. With more than that, raise Kafka's limits, too (`message.max.bytes` of the
    /// URL and the cluster, the topic's `max.message.bytes`), also where the broker is embedded today.
    pub fn event_bytes_max(mut self, bytes: usize) -> Self {
        self.event_bytes_max = bytes;
        self
    }

    /// How many partitions a topic gets that does not exist yet, at least 1.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// How a topic is made: partitions, replication and settings. Others get [`Builder::partitions`] and the broker's
    /// defaults.
    pub fn topic(mut self, topic: Topic) -> Self {
        self.topics.push(topic);
        self
    }

    /// The registry: the topics of every event that was declared, and those given with [`Builder::topic`].
    pub fn topics(&self) -> Vec<Topic> {
        let of_events = self.event_types.iter().filter_map(|event_type| event_type.topic);
        let mut topics: BTreeMap<String, Topic> =
            of_events.map(|name| (name.to_owned(), Topic::new(name, self.partitions))).collect();
        topics.extend(self.topics.iter().map(|topic| (topic.name.clone(), topic.clone())));
        let consumers = self.handlers.iter().filter(|declared| declared.kind == HandlerKind::Consumer);
        let consumed: BTreeSet<&str> = match self.mirrors_dead_letters {
            true => consumers.flat_map(Declared::topics).collect(),
            false => BTreeSet::new(),
        };
        let mirrors = consumed.into_iter().filter_map(|name| topics.get(name).cloned().map(mirror::topic_of));
        let mirrors: Vec<Topic> = mirrors.collect();
        topics.into_values().chain(mirrors).collect()
    }

    /// Whether dead letters of consumers are also published to `<topic>-dlt`, with the header names of Spring Kafka
    /// (`kafka_dlt-original-topic`, `kafka_dlt-exception-message`, ..), at least once. Off unless said: the dead letters of
    /// record are those in the store ([`App::dead_letters`]).
    pub fn mirror_dead_letters(mut self, mirror: bool) -> Self {
        self.mirrors_dead_letters = mirror;
        self
    }

    /// How long idempotency keys, settled letters, marks of handled events and embedded records are kept.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Steps from old schema versions to today's, beside those that were given before. Checked by [`Builder::open`].
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.upcasters = self.upcasters.and(upcasters);
        self
    }

    /// Declares an aggregate, so that its type, the names of its events and their upcasters are checked and its topics made
    /// at start.
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        if let Ok(emitters) = self.emitters.as_mut()
            && let Err(error) = emitters.add::<A>()
        {
            *self.emitters = Err(error);
        }
        self.recorded.extend(A::Event::event_types());
        self.event_types.extend(A::Event::event_types());
        self
    }

    /// A read model: its table is made, and its rows are folded from the log, by a [`Fold`](crate::Fold) or
    /// [`FoldRows`].
    pub fn read_model<R: FoldRows>(self) -> Self {
        let options = Options {
            retry: R::retry(),
            batch_events_max: READ_MODEL_BATCH,
            shards: R::parts(),
            version: R::version(),
            ..Options::default()
        };
        self.declare(R::Events::event_types(), Declared::fold::<R>(R::TABLE.to_owned(), options))
    }

    /// A projection that writes SQL, fed from the log.
    pub fn projection(self, projection: Projection) -> Self {
        self.declare(projection.handlers.event_types(), Declared::projection(projection))
    }

    /// A consumer of topics.
    pub fn consumer(self, consumer: Consumer) -> Self {
        self.declare(consumer.handlers.event_types(), Declared::consumer(consumer))
    }

    fn declare(
        mut self,
        event_types: impl IntoIterator<Item = &'static EventType>,
        handler: Declared,
    ) -> Self {
        self.event_types.extend(event_types);
        self.handlers.push(handler);
        self
    }

    /// Opens the store and the broker, makes the tables and topics that are missing, takes over the handlers that this build
    /// declares differently from the one before, and checks everything.
    ///
    /// A table of a consumer is made when it is missing; one that this build declares otherwise is refused, for a consumer's rows
    /// cannot be made anew.
    ///
    /// A read model or projection whose tables, event types, logic ([`Fold::version`](crate::Fold::version)) or name of a table has changed is rebuilt
    /// here, beside the live rows. While another process does that, this one waits. A build that the store has seen before, and
    /// that another one has replaced, leaves things as they are: its handlers stand by until no process of the other build lives.
    ///
    /// # Errors
    /// [`Error::Wiring`] when the parts do not fit together, [`Error::Store`] or [`Error::Broker`] when those cannot
    /// be reached; each says what to do.
    pub async fn open(self) -> Result<App, Error> {
        let topics = self.topics();
        let plan = self.plan()?;
        let store = plan.store(false).await?;
        migrations::migrate(store.as_ref(), &redact_url(&plan.store_url)).await?;
        let app = plan.assemble(store, false).await?;
        app.broker().declare(&topics).await?;
        app.begin_groups().await?;
        for build in app.builds() {
            registry::refuse_foreign_tables(app.store().as_ref(), build).await?;
            take_over::bring_up(&app, build, Comeback::IfNobodyRuns).await?;
        }
        take_over::begin_current(&app).await?;
        if !app.specs().iter().any(|spec| spec.kind == HandlerKind::Scheduled) {
            scheduled::warn_of_what_waits(app.store().as_ref(), &app.service()).await?;
        }
        Ok(app)
    }

    /// Opens the store and the broker to look at them, and changes nothing: no table or topic is made, nothing is rebuilt, no
    /// handler is registered. For tools: status, streams, dead letters. Such an application does not start.
    ///
    /// # Errors
    /// As [`Builder::open`]; and [`Error::Store`] when the store was not opened by this release of factstream yet.
    pub async fn inspect(self) -> Result<App, Error> {
        let plan = self.plan()?;
        let store = plan.store(true).await?;
        migrations::check(store.as_ref(), &redact_url(&plan.store_url)).await?;
        plan.assemble(store, true).await
    }

    /// Puts the parts together and checks what can be known without the store.
    fn plan(self) -> Result<Box<Plan>, Error> {
        check_id("service name", &self.service)?;
        self.retention.check()?;
        let emitters = (*self.emitters)?;
        refuse_topics_given_twice(&self.topics)?;
        self.upcasters.decoder(self.event_types.iter().copied())?;
        let topics_of_types = self.event_types.iter().filter_map(|of| Some((of, of.topic?)));
        let topics_of_types =
            topics_of_types.flat_map(|(of, topic)| of.names().map(move |name| (name, topic))).collect();
        let states_max = NonZeroUsize::new(self.states_max).unwrap_or(NonZeroUsize::MIN);
        let limits = Limits { states: states_max, bytes: self.states_bytes_max };
        let states = States::new(limits, self.upcasters, emitters);
        let mut managed: Vec<Managed> = Vec::new();
        let (mut builds, mut specs): (Vec<Build>, Vec<Spec>) = (Vec::new(), Vec::new());
        for declared in self.handlers {
            let mut spec = declared.wire(&states, &mut managed)?;
            spec.options.plan_causal(&spec.handler, self.retention.inbox)?;
            if builds.iter().any(|other| other.handler == spec.handler) {
                let text = format!("two handlers are called {:?}; give each a name of its own", spec.handler);
                return Err(Error::Wiring(text));
            }
            let own = managed.iter().find(|managed| managed.projection == spec.handler);
            builds.push(Build::new(&spec, own, &self.service, &self.formerly));
            for shard in Shard::all(spec.options.shards) {
                specs.push(Spec { name: shard.name(&spec.handler), shard, ..spec.clone() });
            }
        }
        let (commands, recurrences) = (self.commands?, self.recurrences?);
        let names_of_commands = commands.names_of_types();
        if !commands.is_empty() || !recurrences.is_empty() {
            let spec = declared::scheduled((commands, recurrences), &self.service, &self.formerly);
            builds.push(Build::new(&spec, None, &self.service, &self.formerly));
            specs.push(spec);
        }
        managed.iter().try_for_each(Managed::check)?;
        refuse_shared_tables(&managed)?;
        Ok(Box::new(Plan {
            store_url: self.store_url,
            store: self.store,
            clock: Arc::new(self.clock),
            turns: self.turns,
            event_bytes_max: self.event_bytes_max,
            topics_of_types,
            broker_url: self.broker_url,
            namespace: self.namespace,
            service: self.service.into(),
            mirrors_dead_letters: self.mirrors_dead_letters,
            seals_within: self.seals_within,
            retention: self.retention,
            states,
            specs,
            managed,
            builds,
            scheduled: names_of_commands,
        }))
    }
}

/// Refuses a topic that is given twice and not alike: one of the two would count for nothing.
fn refuse_topics_given_twice(topics: &[Topic]) -> Result<(), Error> {
    let mut given: BTreeMap<&str, &Topic> = BTreeMap::new();
    for topic in topics {
        if given.insert(&topic.name, topic).is_some_and(|first| first != topic) {
            let name = &topic.name;
            return Err(Error::Wiring(format!(
                "the topic {name} is given twice, with other partitions or settings; keep one of the two"
            )));
        }
    }
    Ok(())
}

/// Refuses a table that two handlers declare.
fn refuse_shared_tables(managed: &[Managed]) -> Result<(), Error> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (table, handler) in
        managed.iter().flat_map(|of| of.tables.iter().map(|table| (&table.name, &of.projection)))
    {
        if let Some(other) = owners.insert(table, handler) {
            let text = match other == handler {
                true => format!("{handler} declares the table {table} twice; keep one of the two"),
                false => {
                    format!(
                        "the table {table} is declared by {other} and by {handler}; a table belongs to one handler"
                    )
                }
            };
            return Err(Error::Wiring(text));
        }
    }
    Ok(())
}
