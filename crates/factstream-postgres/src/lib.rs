//! The event store of factstream on PostgreSQL (G1 to G4), and the transactions that the framework is written over.
//!
//! One task commits the appends that wait together, in one statement that locks the counter row, looks whether the streams are
//! where the appends expect them, and inserts; what it does not take or refuses is decided under the lock, in two exchanges with
//! the server. Transactions and reads have connections from pools. Read in this order:
//!
//! | question | module |
//! |---|---|
//! | which database, how it is reached, which limits | `connect`, `url`, `url_options`, `ssl_mode`, `tls`, [`Options`] |
//! | how a connection is made fit for use | `dial`, `session`, `settings`, `pool`, `pooler` |
//! | what a connection is for, and which log it finds | `purpose`, `identity` |
//! | what becomes of a server that does not answer | `timed`, `frames` |
//! | what is remembered of the log, and when no more | `knowledge`, `reached` |
//! | what makes a database a store | `migrate` |
//! | how appends become commits | `pending`, `writer`, `reached`, `group`, `optimistic`, `locking`, `statements` |
//! | what became of a COMMIT whose reply was lost | `lost_commit` |
//! | how other processes' commits are noticed | `announcements`, `listener` |
//! | what a transaction can do | [`PostgresTransaction`], `write_rows` |
//! | events in a transaction of your own | [`PostgresStore::append_in`] |
//! | how values and rows travel | `values`, `rows` |
//! | whose fault an error is | `sqlstate`, `error` |
//!
//! Invariants: `synchronous_commit` is on, so an acknowledged commit is on disk. Whoever inserts into `events` holds the
//! row lock of `fs_log`, so positions are gapless and in commit order; the lock is taken last. A connection that was
//! lost while a commit was on its way is never guessed about: it is asked for by event id or key. Notifications are hints:
//! polling goes on beside them, and what is told is what the database says.

mod ssl_mode;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod url;
mod url_options;
mod purpose;
mod options;
mod connect;
mod settings;
mod frames;
mod timed;
mod dial;
mod session;
mod pool;
mod pooler;
mod knowledge;
mod identity;
mod shared;
mod migrate;
mod pending;
mod writer;
mod group;
mod reached;
mod optimistic;
mod locking;
mod lost_commit;
mod statements;
mod announcements;
mod listener;
mod control;
mod transaction;
mod write_rows;
mod values;
mod rows;
mod sqlstate;
mod error;
mod store;
mod append_in;

pub use append_in::AppendedIn;
#[doc(hidden)] // for the checks on bad input
pub use connect::check_url;
pub use options::Options;
pub use store::PostgresStore;
pub use tokio_postgres;
pub use transaction::PostgresTransaction;
