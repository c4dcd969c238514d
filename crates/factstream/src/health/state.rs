//! What a handler is doing.

use jiff::Timestamp;
use serde::Serialize;

/// What a handler, or the relay, is doing in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Not started in this process.
    Stopped,
    /// Another process owns it; this one waits.
    Standby {
        /// The owner.
        owner: String,
    },
    /// Another build runs the handler; this process waits until no process of that build lives.
    Outdated {
        /// The generation of the build that runs.
        generation: i64,
        /// The service that runs it.
        service: String,
    },
    /// Handling events.
    Running,
    /// Waiting for events.
    Idle,
    /// Takes in no new events for now.
    Paused {
        /// Why.
        reason: String,
    },
    /// Takes in nothing until a person decides how it goes on, or what was lost is back.
    Halted {
        /// Why, and what to do.
        reason: String,
    },
    /// Failed as a whole, and will be started again.
    Restarting {
        /// What failed.
        error: String,
        /// When it is started again.
        at: Timestamp,
    },
}
