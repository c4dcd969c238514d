//! What handlers are: what a user declares, and what the processor meets.
//!
//! A user implements one of the [`traits`] and declares it ([`declare`], [`json_topic`]) with options and tables of its own. Behind one
//! trait ([`reaction`]) the processor runs them all: a consumer's or a projection's are dispatched by event type ([`dispatch`], [`effect`]);
//! a read model's fold is another reaction.

mod causal;
pub(crate) mod declare;
pub(crate) mod dispatch;
pub(crate) mod effect;
pub(crate) mod failure;
pub(crate) mod filling;
pub(crate) mod json_topic;
pub(crate) mod options;
pub(crate) mod reaction;
mod retry;
pub(crate) mod tables;
mod traits;

pub use causal::{Causal, Late};
pub use failure::Failure;
pub use retry::Retry;
pub use traits::{ExternalHandler, Handler, Projector};
