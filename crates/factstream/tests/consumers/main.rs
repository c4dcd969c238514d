//! Consumers on the embedded broker and a real store: G6 to G9 and G12.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod ledger;
#[path = "../common/shifted.rs"]
mod shifted;

mod once;
mod puts;
mod retries;
mod infrastructure;
mod dead_letters;
mod unreadable;
mod foreign;
mod identities;
mod retention;
mod halted;
mod unpublishable;
mod decoders;
mod external;
mod context;
mod kits;
mod owners;
mod wiring;
mod namespaces;
mod inbox;
mod json_topics;
mod quiet;
mod tables;
#[cfg(feature = "kafka")]
mod on_kafka;
