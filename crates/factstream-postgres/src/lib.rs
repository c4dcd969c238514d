//! The event store of factstream on PostgreSQL (G1 to G4), and the transactions that the framework is written over.
//!
//! One task commits the appends that wait together: it locks the counter row, reads what they need to know, inserts and
//! commits, in two exchanges with the server. Transactions and reads have connections from pools. Read in this order:
//!
//! | question | module |
//! |---|---|
//! | which database, which limits | `connect`, [`Options`] |
//! | what makes a database a store | `migrate` |
//! | how appends become commits | `writer`, `group` |
//! | what a transaction can do | [`PostgresTransaction`] |
//! | how values and rows travel | `values`, `rows` |
//!
//! Invariants: `synchronous_commit` is on, so an acknowledged commit is on disk. Whoever inserts into `events` holds the
//! row lock of `fs_log`, so positions are gapless and in commit order; the lock is taken last. A connection that was
//! lost while a commit was on its way is never guessed about: it is asked for by event id or key.

mod connect;
mod options;
mod migrate;
mod writer;
mod group;
mod transaction;
mod values;
mod rows;
mod error;
mod store;

pub use options::Options;
pub use store::PostgresStore;
pub use tokio_postgres;
pub use transaction::PostgresTransaction;
