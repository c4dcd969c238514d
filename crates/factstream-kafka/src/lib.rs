//! The broker of factstream on Apache Kafka, through librdkafka.
//!
//! | question | module |
//! |---|---|
//! | which brokers, which settings | `config` |
//! | how the relay publishes in order | `publish` |
//! | how a group reads | `subscription` |
//! | what an error says, and never says | `config::reason` |
//! | who asks about a group without being in it | `onlookers` |
//! | where a group stands, and whose it is | `standing` |
//! | which topics were made again | `made_again` |
//! | how far a group is behind | `lag` |
//! | who is in a group | `members` |
//! | how topics are made and changed in a cluster | `cluster` |
//! | topics as code | [`Change`] and [`KafkaBroker::plan_topics`] |
//!
//! Invariants: an idempotent producer that has one request on its way and never gives a message up, so that none is lost
//! and the order of a key holds through restarts of the brokers (G5); one that the cluster refuses is never overtaken by later
//! ones of its key. A group whose records were deleted unread halts and says so. Consumers read committed records only and
//! commit nothing by themselves; what they are told to is sent at once and confirmed by a later poll. A consumer is polled on a
//! thread of its own and only when the processor asks for records, so partitions move only while nothing is in flight.

mod config;
mod place;
mod made_again;
mod publish;
mod onlookers;
mod standing;
mod subscription;
mod lag;
mod reset;
mod members;
mod cluster;
mod broker;
mod topics;

pub use broker::KafkaBroker;
#[doc(hidden)] // for the checks on bad input
pub use config::check_url;
pub use rdkafka;
pub use topics::{Applied, Change};
