//! What a handler is, as it is declared.

use super::shard::Shard;
use super::source::Source;
use crate::handler::options::Options;
use crate::handler::reaction::SharedReaction;
use crate::limits::Gate;
use std::sync::Arc;

/// What a handler is: its name, what it does, and where its events come from.
#[derive(Clone)]
pub(crate) struct Spec {
    /// What its status and lease are called.
    pub(crate) name: String,
    /// The handler that it is, or is a part of: what its inbox and letters are called.
    pub(crate) handler: String,
    pub(crate) shard: Shard,
    pub(crate) kind: HandlerKind,
    pub(crate) reaction: SharedReaction,
    pub(crate) options: Options,
    /// What each event waits at, where the handler has limits.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Where its events come from.
    pub(crate) source: Arc<dyn Source>,
}

/// What kind of handler it is, as the status shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HandlerKind {
    /// A read model: a pure fold.
    ReadModel,
    /// A projection that writes SQL.
    Projection,
    /// A consumer of topics.
    Consumer,
    /// What a service has scheduled: its inputs are timers.
    Scheduled,
    /// A process manager.
    Process,
}

impl HandlerKind {
    /// What the tables and the status call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadModel => "read_model",
            Self::Projection => "projection",
            Self::Consumer => "consumer",
            Self::Scheduled => "scheduled",
            Self::Process => "process",
        }
    }

    /// Whether its events are those of the log, so that its progress is a position.
    pub(crate) fn reads_log(self) -> bool {
        matches!(self, Self::ReadModel | Self::Projection | Self::Process)
    }
}
