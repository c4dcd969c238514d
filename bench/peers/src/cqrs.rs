//! cqrs-es with postgres-es: `order` is its aggregate; commands load the events of one, decide and insert; a rebuild is its
//! `QueryReplay`.
//!
//! Its plain event store is taken, not its snapshots: with two events an order they would only be more to write.

mod order;
mod commands;
mod rebuild;

pub(crate) use commands::commands;
pub(crate) use rebuild::rebuild;

/// As postgres-es has it in `db/init.sql`; without the table of snapshots, which is not used.
const TABLE: &str = include_str!("cqrs/table.sql");
const COUNT: &str = include_str!("cqrs/count.sql");
