//! The framework's own errors. Conflict is a variant of its own; a command's refusal is typed ([`ExecuteError`]).

use factstream_core::broker::{BrokerError, PublishError};
use factstream_core::context::InvalidContext;
use factstream_core::decode::{ContentError, DecodeError, WiringError};
use factstream_core::envelope::{InvalidId, Position, StreamId, Version};
use factstream_core::expected::ExpectedVersion;
use factstream_core::read_model::{KeyError, ReadModel};
use factstream_core::sql::RowError;
use factstream_core::store::{Conflict, StoreError};
use std::time::Duration;

/// What can go wrong in factstream itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Other processes appended to the stream first, again and again.
    #[error(
        "{0}; gave up after several attempts, for other processes write to it: try again, or let fewer of them share one stream"
    )]
    Conflict(Conflict),
    /// The aggregate is not at the version that the caller expects. Nothing was stored.
    #[error(
        "stream {stream} is at version {actual}, and {expected} was expected: it has changed since it was read; load it again and decide again"
    )]
    VersionMismatch {
        /// The stream.
        stream: StreamId,
        /// What the caller expected.
        expected: ExpectedVersion,
        /// The version that it is at; 0: it does not exist.
        actual: Version,
    },
    /// What begins a transaction of its own was called inside one. Nothing was stored.
    #[error(
        "{call} was called inside a transaction, for whose end it would wait; use the Tx that the handler is given (Tx::command, Tx::append, Tx::sql), or call it before, in ExternalHandler::call"
    )]
    InsideTransaction {
        /// The call.
        call: &'static str,
    },
    /// Too many callers of this process wait for one stream. Nothing of this command was stored.
    #[error("stream {stream} is busy: {reason}; try again later, or spread the load over several aggregates")]
    StreamBusy {
        /// The stream.
        stream: StreamId,
        /// How many wait, or how long this one has waited.
        reason: String,
    },
    /// An idempotency key was used before for another command or another aggregate.
    #[error("the key {key:?} was used before for {first_used_for}; use a new key for a new command")]
    KeyReused {
        /// The key.
        key: String,
        /// What it was used for first.
        first_used_for: String,
    },
    /// An id that cannot be used.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// A context that cannot be recorded. Nothing was stored.
    #[error(transparent)]
    InvalidContext(#[from] InvalidContext),
    /// A stored event that this build cannot decode. Nothing was changed.
    #[error("event {position} of the log cannot be decoded: {reason}")]
    Undecodable {
        /// Where it lies.
        position: Position,
        /// Why.
        reason: DecodeError,
    },
    /// An event or state that cannot be written as JSON.
    #[error("{what} cannot be written as JSON: {source}")]
    Encode {
        /// What.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An event that is only read was decided on. Nothing was stored.
    #[error(
        "event {event_type} is retired: it is read and no longer recorded; nothing was stored. Decide on another event, or remove #[event(retired)]"
    )]
    Retired {
        /// The event's type.
        event_type: &'static str,
    },
    /// An event cannot be read back from the JSON that it was written as. Nothing was stored.
    #[error(
        "event {event_type} cannot be read back from its own JSON ({reason}), so its stream could not be folded any more; nothing was stored. Give its type serde attributes that read what they write"
    )]
    NotReadBack {
        /// Its type.
        event_type: &'static str,
        /// Where, and why.
        reason: ContentError,
    },
    /// Events that a state is folded from are not in the store. Nothing was changed.
    #[error(
        "stream {stream} cannot be folded: it reaches to version {reaches}, but its event of version {missing} is not in the store; restore the events that were deleted, or load from a snapshot that covers them"
    )]
    Horizon {
        /// The stream.
        stream: StreamId,
        /// The first version that is missing.
        missing: Version,
        /// The stream's version, as far as it is known.
        reaches: Version,
    },
    /// The parts of the application do not fit together. Found at start.
    #[error("the application is not wired up right: {0}")]
    Wiring(String),
    /// A timer that cannot be set. Nothing was stored.
    #[error("the timer {name:?} of {key:?} is not set: {reason}")]
    Timer {
        /// Its name.
        name: String,
        /// In whose order it would fire.
        key: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A setting that an operator gave cannot be used.
    #[error("{from}: {reason}")]
    Setting {
        /// Where it was given: an option, a file, a variable.
        from: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The read model did not get there in time.
    #[error(
        "{read_model} has not reached position {position} within {waited:?} (it is at {reached}); {hint}"
    )]
    WaitTimedOut {
        /// The read model.
        read_model: String,
        /// The position waited for.
        position: Position,
        /// Where it is.
        reached: Position,
        /// How long was waited.
        waited: Duration,
        /// What to look at.
        hint: String,
    },
    /// No event of the conversation came that was waited for ([`App::outcome`](crate::App::outcome)). It may yet come.
    #[error(
        "no wanted event with the correlation id {correlation_id:?} came within {within:?} (the log was read to position {looked_to}); wait \
         again, or look at the status: does the handler run that records it?"
    )]
    NoOutcome {
        /// The conversation.
        correlation_id: String,
        /// How long was waited.
        within: Duration,
        /// The log was read up to this position.
        looked_to: Position,
    },
    /// A cursor that this list did not make.
    #[error("the cursor is not one that this list gave out; start again without one")]
    Cursor,
    /// A dead letter that cannot be found or is not in the right state.
    #[error("dead letter {id}: {reason}")]
    DeadLetter {
        /// Its id.
        id: u64,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// No projection of that name.
    #[error("there is no projection {name:?}; there are: {known}")]
    UnknownProjection {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The checkpoint lies beyond the head of the log: the store was restored from an older backup.
    #[error(
        "{handler}: its checkpoint {checkpoint} lies beyond the head of the log ({head}); the store was restored from an older backup, or events were deleted. It is not started, for new events would be skipped: restore the newer store, or rebuild the projection (of the relay: decide, and move its row in fs_checkpoints)"
    )]
    BeyondHead {
        /// The handler.
        handler: String,
        /// Its checkpoint.
        checkpoint: Position,
        /// The head of the log.
        head: Position,
    },
    /// Another build runs the handler.
    #[error(
        "{handler} is run by another build of the service {service} (generation {generation}); let that build do it, or stop its processes first"
    )]
    OtherBuild {
        /// The handler.
        handler: String,
        /// The service that runs it.
        service: String,
        /// The generation of the build that runs it.
        generation: i64,
    },
    /// What people have put on a read model's table cannot be put on the rebuilt one. Nothing was changed.
    #[error(
        "{what} keeps the read model's table from being replaced by the rebuilt one ({reason}); the live table is as it was. Drop it, rebuild, and make it again so that it fits: {made_by}"
    )]
    Dependent {
        /// What it is: a view, an index, a trigger, a grant.
        what: String,
        /// What the database says.
        reason: String,
        /// The statement that it is made by.
        made_by: String,
    },
    /// Another owner moved the checkpoint: this one stands back.
    #[error("{handler}: another process took it over or moved its checkpoint; standing back")]
    Superseded {
        /// The handler.
        handler: String,
    },
    /// An instance of a process cannot be read, or its state cannot be made again.
    #[error("the instance {id:?} of {process}: {reason}")]
    Process {
        /// The process.
        process: &'static str,
        /// The instance.
        id: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The seals of the log are not as they have to be, or a checkpoint is not of this log.
    #[error("the seals of the log: {0}")]
    Seals(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A batch was not published whole.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl Error {
    /// A key that no row can be found by.
    pub(crate) fn of_key<R: ReadModel>(error: &KeyError) -> Self {
        Self::Store(StoreError::statement(error.to_string(), format!("the key of a row of {}", R::TABLE)))
    }
}

impl From<WiringError> for Error {
    fn from(error: WiringError) -> Self {
        Self::Wiring(error.to_string())
    }
}

impl From<RowError> for Error {
    fn from(error: RowError) -> Self {
        Self::Store(error.into())
    }
}

/// Why a command has no effect.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let app = shop().await;
///
/// use factstream::ExecuteError;
///
/// match app.execute("o-1", ship()).await {
///     Ok(shipped) => println!("shipped at position {}", shipped.position),
///     Err(ExecuteError::Rejected(refused)) => println!("the order says no: {refused}"), // Refused
///     Err(ExecuteError::Failed(error)) => return Err(error.into()),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<E: std::error::Error> {
    /// The aggregate refuses it, in its own words.
    #[error(transparent)]
    Rejected(E),
    /// The framework could not carry it out.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl<E: std::error::Error> From<StoreError> for ExecuteError<E> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
