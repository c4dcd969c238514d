//! The event store of factstream on one SQLite file (G1 to G4), and the transactions that the framework is written over.
//!
//! One writer thread owns the writing connection and commits the appends that wait together in one transaction; several
//! reading connections answer everything else. Read the modules in this order:
//!
//! | question | module |
//! |---|---|
//! | which file, which limits | `url`, [`Options`] |
//! | what makes a file a store | `open` |
//! | whose turn it is on the writer thread | `queue` |
//! | how appends become commits | `writer`, `append` |
//! | what a transaction can do, for how long, and on which thread | [`SqliteTransaction`], `serve`, `watchdog`, `desk`, `pace` |
//! | how reading goes on beside it | `readers`, `query`, `rows` |
//! | how news travels | `news` |
//!
//! Invariants: `synchronous=FULL` in WAL mode, so an acknowledged commit is on disk. Every write is in a transaction that
//! began with `BEGIN IMMEDIATE`, so what it reads is the newest, also with other processes on the file. Positions come
//! from a counter row in the same transaction.

mod url;
mod options;
mod open;
mod patience;
mod place;
mod pace;
mod desk;
mod append;
mod writer;
mod watchdog;
mod transaction;
mod serve;
mod queue;
mod readers;
mod query;
mod rows;
mod bind;
mod news;
mod error;
mod store;

pub use options::Options;
pub use rusqlite;
pub use store::SqliteStore;
pub use transaction::SqliteTransaction;
#[doc(hidden)] // for the checks on bad input
pub use url::path_of;
