//! Process managers (G15): pure state machines over the events of the log that send commands and record events.
//!
//! A user implements [`Process`]. Behind the one trait of all handlers (`reaction`) an event goes to the instances that it
//! correlates with, one delivery for each, in the order of the process's id. `step` runs the state machine, `perform` does what it asked
//! for, `instances` loads and writes the states, `aliases` their other ids, `history` keeps every input. `received` is the way of messages from topics into the log.
//!
//! Invariant: the mark of an input, the state, the history, the events and the commands' events commit in one transaction, which fails
//! when the instance is not as it was read.

mod alias;
mod acts;
mod correlate;
mod input;
mod traits;
mod step;
mod perform;
mod aliases;
mod instances;
mod history;
mod query;
pub(crate) mod received;
pub(crate) mod reaction;

pub use acts::{ACTS_MAX, Act, Acts, NewTimer};
pub use alias::Alias;
pub(crate) use correlate::Target;
pub use correlate::{Correlate, Missing};
pub use history::{Step, Taken};
pub use input::{Input, Refused};
pub use query::{Instance, InstanceStatus, ProcessQuery};
pub use step::REACTIONS_MAX;
pub(crate) use step::{correlated, take};
pub use traits::Process;
