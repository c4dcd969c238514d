//! What a person who runs an application looks at and does: data for a command line, a console or an HTTP API.
//!
//! [`status`] shows what is going on, `processes` who runs what, [`dead_letters`] what failed and what can be done about it, `reset`
//! moves a handler to another place. Rebuilding a projection is [`App::rebuild`](crate::App::rebuild).

pub mod dead_letters;
mod processes;
mod reset;
pub mod status;

pub use reset::{ResetPlan, ResetStep, ResetTo};
