//! An untouched log on a real store: G24.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod sealed;

mod sealing;
mod tampering;
mod checkpoints;
mod erased;
#[cfg(feature = "postgres")]
mod copied;
