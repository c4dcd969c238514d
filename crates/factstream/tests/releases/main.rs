//! What every real system goes through: a new release beside the old one, a rollback, a changed option. The guarantees hold
//! through all of it (G6, G7, G10).
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod builds;
mod balances;

mod amendments;
mod columns;
mod consumers;
mod divisions;
mod looking;
mod migration;
mod names;
mod poison;
mod processes;
mod rebuilds;
mod resets;
mod row_keys;
mod tables;
