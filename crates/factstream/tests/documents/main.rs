//! The documents are true: what they show compiles and runs, what they list is complete.
#![allow(missing_docs, clippy::unwrap_used)]

mod concepts;
mod errors;
mod quickstart;
