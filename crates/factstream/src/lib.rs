//! Event streaming, event sourcing and CQRS as one system, on one SQLite file by default.
//!
//! Read the modules in this order; it is the way of the data: a command is executed ([`App::execute`]), its events are
//! appended to the store, the relay publishes the log to the broker, the processor runs every handler there is, read
//! models hold the rows, and queries read them ([`App::read`]).
//!
//! | to | see |
//! |---|---|
//! | declare events, aggregates and commands | [`Event`], [`Aggregate`], [`Command`] |
//! | test them without a store | [`testing`] |
//! | put an application together | [`App::builder`] |
//! | fold events into rows | [`Fold`], [`FoldRows`], [`ReadModel`] |
//! | write rows with SQL | [`Projector`], [`Projection`], [`Rows`] |
//! | have effects in the store, exactly once | [`Handler`], [`Consumer`], [`Tx`] |
//! | run a business process over several aggregates | [`Process`] |
//! | call the outside world | [`ExternalHandler`] |
//! | have something done at a time, or again and again | [`App::schedule`], [`Builder::every`] |
//! | see and mend what failed | [`App::status`], [`App::dead_letters`], [`App::rebuild`] |

mod error;
mod redact;
mod refusals;
pub mod setting;
mod tasks;
mod headers;
mod statements;
mod migrations;
mod retention;
mod kernel;
mod tx;
mod timer;
mod limits;
mod handler;
mod leases;
mod health;
mod processor;
mod registry;
mod scheduled;
pub mod broker;
mod relay;
mod app;
mod command;
mod timers;
pub mod process;
pub mod read_model;
mod rebuild;
pub mod seals;
mod runtime;
mod ops;
mod builder;
pub mod schema;
pub mod testing;

pub use app::App;
pub use builder::{Builder, DeclareProcess};
pub use command::execute::{Execute, ExecuteWithState, Executed};
pub use command::outcome::AwaitOutcome;
pub use command::together::ATTEMPTS_MAX;
pub use command::transaction::{Committed, LentTx, Transact};
pub use error::{Error, ExecuteError};
pub use handler::declare::{Consumer, Projection};
pub use handler::json_topic::{Json, JsonTopic, TopicOf};
pub use handler::options::{Start, Tombstones, UnknownTypes};
pub use handler::{Causal, ExternalHandler, Failure, Handler, Late, Projector, Retry};
pub use leases::{Doing, LeaseOwner, RunningProcess};
pub use limits::{Circuit, Rate};
pub use ops::{ResetPlan, ResetStep, ResetTo, dead_letters, status};
pub use process::{Acts, Correlate, Input, Missing, Process};
pub use processor::HandlerKind;
pub use read_model::{Condition, Fold, FoldRows, Keys, Page, ReadModel, ReadModelQuery, SortOrder};
pub use rebuild::RebuildProgress;
pub use redact::redact_url;
pub use registry::Registered;
pub use retention::{
    COMMAND_KEY_RETENTION, INBOX_RETENTION, LETTER_RETENTION, PROCESS_RETENTION, Retention, TOPIC_RETENTION,
};
pub use runtime::Running;
pub use scheduled::recurring::{Occurrence, Recurring};
pub use scheduled::schedule::{Missed, Overlap, Schedule};
pub use timers::{
    LIST_MAX as TIMERS_LIST_MAX, ScheduleCommand, ScheduleStatus, ScheduledCommand, Schedules, Timer, Timers,
    TimersOf,
};
pub use tx::{Decided, Rows, Tx};

pub use factstream_core::aggregate::{self, Aggregate, Command, SnapshotPolicy};
pub use factstream_core::broker::{BrokerError, Member, Namespace, PublishError, Topic};
pub use factstream_core::causes;
pub use factstream_core::context::{self, Context};
pub use factstream_core::decode::{self, Upcasters};
pub use factstream_core::envelope::{self, Envelope, Position, RecordedEvent, Version};
pub use factstream_core::event::{self, Event, EventSet};
pub use factstream_core::expected::ExpectedVersion;
pub use factstream_core::recordable::EVENT_BYTES_MAX;
pub use factstream_core::schema::Shape;
pub use factstream_core::sql;
pub use factstream_core::{derive_support, message, params, partition, store};

pub use factstream_macros::{Event, EventSet, ReadModel, Shape};

#[cfg(feature = "kafka")]
pub use factstream_kafka as kafka;
#[cfg(feature = "postgres")]
pub use factstream_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use factstream_sqlite as sqlite;
