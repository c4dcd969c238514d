//! Event streaming, event sourcing and CQRS as one system, on one SQLite file by default.
//!
//! Read the modules in this order; it is the way of the data: a command is executed ([`App::execute`]), its events are
//! appended to the store, the relay publishes the log to the broker, the processor runs every handler there is, read
//! models hold the rows, and queries read them ([`App::read`]).
//!
//! | to | see |
//! |---|---|
//! | declare events, aggregates and commands | [`Event`], [`Aggregate`], [`Command`] |
//! | test them without a store | [`testkit`] |
//! | put an application together | [`App::builder`] |
//! | fold events into rows | [`Fold`], [`FoldRows`], [`ReadModel`] |
//! | write rows with SQL | [`Projector`], [`Projection`], [`Rows`] |
//! | have effects in the store, exactly once | [`Handler`], [`Consumer`], [`Tx`] |
//! | call the outside world | [`ExternalHandler`] |
//! | see and mend what failed | [`App::status`], [`App::dead_letters`], [`App::rebuild`] |

mod app;
pub mod schema;
mod builder;
mod declare;
mod json_topic;
pub mod setting;
mod connect;
mod origin;
mod emitters;
mod states;
mod command;
mod rows;
mod tx;
mod migrations;
mod system;
mod relay;
mod headers;
pub mod broker;
mod handler;
mod registry;
mod processor;
pub mod read_model;
pub mod dead_letters;
mod mirror;
mod progress;
mod leases;
mod store_clock;
mod housekeeping;
mod retention;
mod reset;
mod halt;
mod supervisor;
pub mod status;
mod error;
mod refusals;
mod statements;

pub use app::App;
pub use builder::Builder;
pub use command::execute::{ATTEMPTS_MAX, Execute, ExecuteWithState, Executed};
pub use command::transaction::{Committed, LentTx, Transact};
pub use connect::redact_url;
pub use declare::{Consumer, Projection};
pub use error::{Error, ExecuteError};
pub use handler::{ExternalHandler, Failure, Handler, Projector};
pub use housekeeping::{INBOX_RETENTION, TOPIC_RETENTION};
pub use json_topic::{Json, JsonTopic, TopicOf};
pub use leases::{Doing, LeaseOwner, Process};
pub use processor::HandlerKind;
pub use processor::options::{Retry, Tombstones, UnknownTypes};
pub use read_model::{
    Condition, Fold, FoldRows, Keys, Page, ReadModel, ReadModelQuery, RebuildProgress, SortOrder,
};
pub use registry::Registered;
pub use reset::{ResetPlan, ResetStep, ResetTo};
pub use retention::{COMMAND_KEY_RETENTION, LETTER_RETENTION, Retention};
pub use rows::Rows;
pub use supervisor::Running;
pub use tx::{Decided, Tx};

pub use factstream_core::aggregate::{self, Aggregate, Command, SnapshotPolicy};
pub use factstream_core::broker::{BrokerError, Member, Namespace, PublishError, Topic};
pub use factstream_core::context::{self, Context};
pub use factstream_core::decode::{self, Upcasters};
pub use factstream_core::envelope::{self, Envelope, Position, RecordedEvent, Version};
pub use factstream_core::event::{self, Event, EventSet};
pub use factstream_core::recordable::EVENT_BYTES_MAX;
pub use factstream_core::schema::Shape;
pub use factstream_core::sql;
pub use factstream_core::{derive_support, message, params, partition, store, testkit};

pub use factstream_macros::{Event, EventSet, ReadModel, Shape};

#[cfg(feature = "kafka")]
pub use factstream_kafka as kafka;
#[cfg(feature = "postgres")]
pub use factstream_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use factstream_sqlite as sqlite;
