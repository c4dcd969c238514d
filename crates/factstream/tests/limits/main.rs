//! Limits on a real store, before a real HTTP server that counts what it is asked: G20.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod server;

mod retry_after;
mod rates;
mod circuits;
#[cfg(feature = "kafka")]
mod members;
