//! A command on its way to the store: whose turn it is on the stream, decide, append.
//!
//! `execute` is what a caller meets; `turns` lets one at a time decide on a stream; `job` is a command that waits, with its types
//! hidden; `together` decides commands of one stream one after the other and appends their events in one go; `transaction` is for
//! several aggregates, and `inside` refuses what must not be called in one.

pub(crate) mod execute;
pub(crate) mod inside;
pub(crate) mod job;
pub(crate) mod together;
pub(crate) mod transaction;
pub(crate) mod turns;
