//! The processor: the one engine that runs every handler there is, projections and consumers alike.
//!
//! The way of a batch: [`source`] gives deliveries ([`delivery`]), `run` asks for them, [`batch`] handles them in one transaction with
//! their marks ([`checkpoint`], or `inbox` and [`offsets`]), `isolate` finds the one that fails, [`letters`] holds it, [`retry`] takes
//! it up again. `causal` has events wait for their causes, where that is asked for; `unit` says what is kept in order.

pub(crate) mod shard;
pub(crate) mod layout;
pub(crate) mod claim;
pub(crate) mod fault;
pub(crate) mod delivery;
pub(crate) mod letters;
pub(crate) mod amendments;
pub(crate) mod checkpoint;
pub(crate) mod offsets;
pub(crate) mod source;
mod spec;
mod engine;
pub(crate) mod mark;
mod inbox;
mod causal;
pub(crate) mod unit;
pub(crate) mod aliases;
pub(crate) mod batch;
mod isolate;
mod limited;
pub(crate) mod retry;
mod run;

pub(crate) use engine::Processor;
pub use spec::HandlerKind;
pub(crate) use spec::Spec;
