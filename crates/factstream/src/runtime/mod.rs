//! An application that runs: its tasks, started again when they fail, and what goes on beside handling events.
//!
//! [`supervisor`] starts everything; [`running`] is its handle, and stops it; [`take_over`] makes a build the one that runs a handler; [`halt`] keeps one waiting that
//! cannot go on; [`mirror`] copies dead letters for other tools; [`housekeeping`] and `trim` delete what is no longer needed.

mod groups;
mod halt;
mod housekeeping;
pub(crate) mod mirror;
mod running;
mod supervisor;
pub(crate) mod take_over;
mod trim;

pub use running::Running;
