//! Limits of handlers (G20): how many calls a second, and a pause when nothing works.
//!
//! A user declares a [`Rate`] and a [`Circuit`]; the processor passes the [`Gate`] before each call and says what came of it. Invariants:
//! to wait at the gate is no failure and no attempt, holds no transaction, and ends at once when the handler stops or its time for one
//! turn is over. Without limits there is no gate.

mod pace;
mod rate;
mod permits;
mod circuit;
mod breaker;
mod gate;

pub use circuit::Circuit;
pub(crate) use gate::{Came, Gate, Pass};
pub use rate::Rate;

/// What a consumer declares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) rate: Option<Rate>,
    pub(crate) circuit: Option<Circuit>,
}
