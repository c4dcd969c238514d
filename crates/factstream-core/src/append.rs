//! What is appended, and what becomes of it. A conflict is data, not an error.

use crate::envelope::{NewEvent, Position, StreamId, Version};

/// Events to append to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The version that the stream must have.
    pub expected: Expected,
    /// The events, in order.
    pub events: Vec<NewEvent>,
}

/// The version that a stream must have for an append to win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this one; 0 means that the stream must not exist yet.
    Exact(Version),
    /// Whatever it is: for facts that no decision stands on.
    Any,
}

/// What became of an append. A conflict is data, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk.
    Appended(Appended),
    /// The key was used before: the first outcome, nothing new was stored.
    Repeated(Appended),
    /// The stream was not at the expected version; nothing was stored.
    Conflict(Conflict),
    /// The key was used before for another command or another aggregate; nothing was stored.
    KeyReused {
        /// The key.
        key: String,
        /// The fingerprint of its first use, and the aggregate where only that is another one.
        first_used_for: String,
    },
}

/// Where an append ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The stream.
    pub stream: StreamId,
    /// The stream's version after it.
    pub version: Version,
    /// The position of its last event; without events, the head of the log.
    pub position: Position,
}

/// The stream had moved on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} is at version {actual}, not {expected}")]
pub struct Conflict {
    /// The stream.
    pub stream: StreamId,
    /// The version expected.
    pub expected: Version,
    /// The version found.
    pub actual: Version,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// It is on disk; one entry for each append.
    Committed(Vec<Appended>),
    /// A stream had moved on: everything is rolled back.
    Conflict(Conflict),
}
