//! Bad input by the ton: bytes of all kinds, SQL in every name, bodies without end, and passwords that must not be told.
#![allow(missing_docs, clippy::unwrap_used)]

#[expect(unreachable_pub, reason = "in fuzz/ it is the crate's interface")]
#[path = "../fuzz/src/checks.rs"]
mod checks;
#[path = "hostile/bytes.rs"]
mod bytes;
#[path = "hostile/exact.rs"]
mod exact;
#[path = "hostile/records.rs"]
mod records;
#[path = "hostile/fragments.rs"]
mod fragments;
#[path = "hostile/injection.rs"]
mod injection;
#[path = "hostile/foreign.rs"]
mod foreign;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/large.rs"]
mod large;
#[path = "hostile/secrets.rs"]
mod secrets;
