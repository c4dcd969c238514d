//! A command on its way to the store: whose turn it is on the stream, decide, append.
//!
//! `execute` is what a caller meets; `key` is what its idempotency key stands for; `at_once` decides
//! and appends one that waits for nobody; `job` is a command with its types hidden; `together` decides commands of one stream one after the
//! other and appends their events in one go; `write` is the append itself; `transaction` is for several aggregates, `all` for many
//! commands in one call; `outcome` waits for what a command led to.
//! Whose turn it is, and what must not be called inside a transaction, is the kernel's ([`crate::kernel`]).

pub(crate) mod execute;
mod all;
mod at_once;
pub(crate) mod outcome;
mod key;
mod write;
pub(crate) mod job;
pub(crate) mod together;
pub(crate) mod transaction;
