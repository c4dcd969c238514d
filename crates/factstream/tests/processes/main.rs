//! Process managers on a real store: G15.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod checkout;

mod once;
mod order;
mod refusals;
mod ends;
mod states;
mod wiring;
mod letters;
mod waiting;
mod topics;
mod aliases;
