//! Putting an application together: what is declared, and how it is checked and wired when it is opened.

use crate::app::{App, Parts};
use crate::connect::{self, Connected};
use crate::error::Error;
use crate::handler::{Caller, Handler};
use crate::migrations;
use crate::mirror;
use crate::processor::options::{Options, Tombstones, UnknownTypes, option_methods};
use crate::processor::reaction::{Calling, Handlers, Handling, Reaction};
use crate::processor::shard::Shard;
use crate::processor::{From, Kind, Spec};
use crate::progress::Progress;
use crate::read_model::fold::Folding;
use crate::read_model::table::Table;
use crate::read_model::{Fold, Managed};
use crate::states::States;
use crate::status::Healths;
use factstream_core::aggregate::Aggregate;
use factstream_core::broker::Topic;
use factstream_core::decode::Upcasters;
use factstream_core::envelope::check_id;
use factstream_core::event::{EventSet, EventType};
use factstream_core::message::{Decoded, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Partitions that a topic gets when the application makes it.
const PARTITIONS: u32 = 6;
/// Events that a read model folds in one transaction: enough that rows touched twice are written once.
const READ_MODEL_BATCH: usize = 1_000;
/// Aggregate states kept in memory unless said otherwise.
const STATES_MAX: usize = 10_000;

/// An application that is being put together.
#[must_use = "an application does nothing until it is opened"]
pub struct Builder {
    store_url: String,
    broker_url: String,
    service: String,
    states_max: usize,
    partitions: u32,
    mirrors_dead_letters: bool,
    topics: BTreeMap<String, Topic>,
    upcasters: Upcasters,
    event_types: Vec<&'static EventType>,
    handlers: Vec<Declared>,
}

struct Declared {
    name: String,
    kind: Kind,
    options: Options,
    reacting: Reacting,
}

enum Reacting {
    Handlers(Handlers, Vec<Table>),
    Fold(Box<dyn MakeFold>),
}

/// Makes the reaction of a fold, once the decoders are there.
trait MakeFold: Send {
    fn make(&self, states: &States) -> Result<(Arc<dyn Reaction>, Managed), Error>;
}

struct FoldOf<R>(std::marker::PhantomData<fn() -> R>);

impl<R: Fold> MakeFold for FoldOf<R> {
    fn make(&self, states: &States) -> Result<(Arc<dyn Reaction>, Managed), Error> {
        Ok((Arc::new(Folding::<R>::new(states.decoder::<R::Events>()?)), Managed::of::<R>()))
    }
}

impl Builder {
    pub(crate) fn new(store_url: String) -> Self {
        Self {
            store_url,
            broker_url: "embedded".to_owned(),
            service: "factstream".to_owned(),
            states_max: STATES_MAX,
            partitions: PARTITIONS,
            mirrors_dead_letters: false,
            topics: BTreeMap::new(),
            upcasters: Upcasters::new(),
            event_types: Vec::new(),
            handlers: Vec::new(),
        }
    }

    /// The broker: `embedded` (the default) keeps the topics in the store.
    pub fn broker(mut self, broker_url: impl Into<String>) -> Self {
        self.broker_url = broker_url.into();
        self
    }

    /// The service's name: the `source` of every event that it records.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// How many aggregate states are kept in memory, at least 1.
    pub fn states_max(mut self, states: usize) -> Self {
        self.states_max = states;
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
        self.topics.insert(topic.name.clone(), topic);
        self
    }

    /// The registry: the topics of every event that was declared, and those given with [`Builder::topic`].
    pub fn topics(&self) -> Vec<Topic> {
        let of_events = self.event_types.iter().filter_map(|event_type| event_type.topic);
        let mut topics: BTreeMap<String, Topic> =
            of_events.map(|name| (name.to_owned(), Topic::new(name, self.partitions))).collect();
        topics.extend(self.topics.clone());
        let consumers = self.handlers.iter().filter(|declared| declared.kind == Kind::Consumer);
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

    /// The steps from old schema versions to today's. Checked by [`Builder::open`].
    pub fn upcasters(mut self, upcasters: Upcasters) -> Self {
        self.upcasters = upcasters;
        self
    }

    /// Declares an aggregate, so that its events' upcasters are checked and its topics made at start.
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        self.event_types.extend(A::Event::event_types());
        self
    }

    /// A read model: its table is made, and its rows are folded from the log.
    pub fn read_model<R: Fold>(mut self) -> Self {
        self.event_types.extend(R::Events::event_types());
        self.handlers.push(Declared {
            name: R::TABLE.to_owned(),
            kind: Kind::ReadModel,
            options: Options {
                retry: R::retry(),
                batch_events_max: READ_MODEL_BATCH,
                shards: R::shards().max(1),
                ..Options::default()
            },
            reacting: Reacting::Fold(Box::new(FoldOf::<R>(std::marker::PhantomData))),
        });
        self
    }

    /// A projection that writes SQL, fed from the log.
    pub fn projection(self, projection: Projection) -> Self {
        let Projection { name, options, handlers, tables } = projection;
        self.handlers_of(name, Kind::Projection, options, handlers, tables)
    }

    /// A consumer of topics.
    pub fn consumer(self, consumer: Consumer) -> Self {
        let Consumer { name, options, handlers } = consumer;
        self.handlers_of(name, Kind::Consumer, options, handlers, Vec::new())
    }

    fn handlers_of(
        mut self,
        name: String,
        kind: Kind,
        options: Options,
        handlers: Handlers,
        tables: Vec<Table>,
    ) -> Self {
        self.event_types.extend(handlers.event_types());
        self.handlers.push(Declared { name, kind, options, reacting: Reacting::Handlers(handlers, tables) });
        self
    }

    /// Opens the store and the broker, makes the tables and topics that are missing, and checks everything.
    ///
    /// # Errors
    /// [`Error::Wiring`] when the parts do not fit together, [`Error::Store`] or [`Error::Broker`] when those cannot
    /// be reached; each says what to do.
    pub async fn open(self) -> Result<App, Error> {
        check_id("service name", &self.service)?;
        self.upcasters.decoder(self.event_types.iter().copied())?;
        let topics = self.topics();
        let states_max = NonZeroUsize::new(self.states_max).unwrap_or(NonZeroUsize::MIN);
        let states = States::new(states_max, self.upcasters);
        let mut managed = Vec::new();
        let mut specs: Vec<Spec> = Vec::new();
        for declared in self.handlers {
            let spec = declared.wire(&states, &mut managed)?;
            if specs.iter().any(|other| other.handler == spec.handler) {
                let text = format!("two handlers are called {:?}; give each a name of its own", spec.handler);
                return Err(Error::Wiring(text));
            }
            for shard in Shard::all(spec.options.shards) {
                specs.push(Spec { name: shard.name(&spec.handler), shard, ..spec.clone() });
            }
        }
        managed.iter().try_for_each(Managed::check_names)?;
        let store = connect::store(&self.store_url).await?;
        states.follow(Arc::clone(&store));
        migrations::migrate(store.as_ref(), &connect::without_credentials(&self.store_url)).await?;
        let former_until = migrations::former_until(store.as_ref()).await?;
        let Connected { broker, owned_groups } = connect::broker(&self.broker_url, &store)?;
        broker.declare(&topics).await?;
        let healths = Healths::new(specs.iter().map(|spec| (spec.name.clone(), spec.kind)));
        let parts = Parts {
            store,
            broker,
            owned_groups,
            service: self.service.into(),
            mirrors_dead_letters: self.mirrors_dead_letters,
            former_until,
            states,
            specs,
            managed,
            progress: Progress::default(),
            healths,
        };
        let app = App::new(parts);
        app.make_tables().await?;
        Ok(app)
    }
}

impl Declared {
    /// The topics of its events.
    fn topics(&self) -> Vec<&'static str> {
        match &self.reacting {
            Reacting::Handlers(handlers, _) => {
                handlers.event_types().iter().filter_map(|event_type| event_type.topic).collect()
            }
            Reacting::Fold(_) => Vec::new(),
        }
    }

    fn wire(self, states: &States, managed: &mut Vec<Managed>) -> Result<Spec, Error> {
        check_id("handler name", &self.name)?;
        let (name, kind, options) = (self.name, self.kind, self.options);
        let reaction: Arc<dyn Reaction> = match self.reacting {
            Reacting::Handlers(mut handlers, mut tables) => {
                handlers.wire(states, &name)?;
                for table in &mut tables {
                    table.shards = options.shards;
                }
                if !tables.is_empty() {
                    managed.push(Managed { projection: name.clone(), tables });
                }
                Arc::new(handlers)
            }
            Reacting::Fold(fold) => {
                let (reaction, table) = fold.make(states)?;
                managed.push(table);
                reaction
            }
        };
        let from = match kind {
            Kind::Consumer => From::Topics(topics_of(&name, &reaction.event_types())?),
            Kind::ReadModel | Kind::Projection => From::Log,
        };
        Ok(Spec { handler: name.clone(), name, shard: Shard::WHOLE, kind, reaction, options, from })
    }
}

/// The topics that carry a consumer's events.
fn topics_of(consumer: &str, event_types: &[&'static EventType]) -> Result<Vec<String>, Error> {
    let mut topics = BTreeSet::new();
    for event_type in event_types {
        let Some(topic) = event_type.topic else {
            return Err(Error::Wiring(format!(
                "the consumer {consumer} wants {}, which is private and reaches no topic; declare an enum of just the events that it needs, make it public, or use a projection",
                event_type.name
            )));
        };
        topics.insert(topic.to_owned());
    }
    Ok(topics.into_iter().collect())
}

/// A projection that writes SQL, fed from the store's log in order. **Exactly once.**
///
/// Its tables are declared with [`Projection::table`] and reached with [`Tx::table`](crate::Tx::table), so that it can be rebuilt.
pub struct Projection {
    name: String,
    options: Options,
    handlers: Handlers,
    tables: Vec<Table>,
}

impl Projection {
    /// A projection with one handler.
    pub fn new<H: Handler>(name: impl Into<String>, handler: H) -> Self {
        let mut handlers = Handlers::default();
        handlers.add(Handling::boxed(handler));
        Self { name: name.into(), options: Options::default(), handlers, tables: Vec::new() }
    }

    /// A table of this projection: made at start, and made anew beside the live one by a rebuild. In the statements,
    /// `{table}` stands for its name: `CREATE TABLE {table} (..)`, `CREATE INDEX {table}_x ON {table} (..)`. A name that is a
    /// word of SQL's own is written in quotes: `CREATE TABLE "{table}" (..)`.
    pub fn table(mut self, name: &str, create: &str, indexes: &[&str]) -> Self {
        let indexes = indexes.iter().map(|index| (*index).to_owned()).collect();
        let (name, create) = (name.to_owned(), create.to_owned());
        self.tables.push(Table { name, create, indexes, shards: 1 });
        self
    }

    /// Splits it by the aggregate's id into so many parts, each with an owner of its own, so that several processes handle
    /// it: for projections whose rows of different aggregates are apart. Stop all processes before you change the number; the
    /// projection is then rebuilt.
    pub fn shards(mut self, shards: u32) -> Self {
        self.options.shards = shards.max(1);
        self
    }

    option_methods!();
}

/// A named group of handlers, fed from the topics of their events. **Exactly-once effects.**
///
/// No auto-commit: progress is committed after the work. Duplicates are known by their event id (G6).
pub struct Consumer {
    name: String,
    options: Options,
    handlers: Handlers,
}

impl Consumer {
    /// A consumer group of this name.
    pub fn new(group: impl Into<String>) -> Self {
        Self { name: group.into(), options: Options::default(), handlers: Handlers::default() }
    }

    /// Adds a handler with effects inside the store. Each event type has one handler in a group.
    pub fn handler<H: Handler>(mut self, handler: H) -> Self {
        self.handlers.add(Handling::boxed(handler));
        self
    }

    /// Adds a handler that asks the outside world first.
    pub fn caller<C: Caller>(mut self, caller: C) -> Self {
        self.handlers.add(Calling::boxed(caller));
        self
    }

    /// Reads records of other teams' formats, before the framework does: CloudEvents, values in quotes or in a frame, types in
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
