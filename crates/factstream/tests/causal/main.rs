//! Causal order (G19), on a real store and a real broker: the embedded one, or with `FACTSTREAM_TEST_BROKER=kafka` Apache Kafka.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod setup;

mod keys;
mod order;
mod letters;
mod late;
mod lanes;
mod options;
mod headers;
mod carried;
