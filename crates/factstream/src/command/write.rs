//! The append of what was decided on a state, and what becomes of the state in memory.

use crate::error::Error;
use crate::kernel::Kernel;
use crate::kernel::states::State;
use factstream_core::aggregate::Aggregate;
use factstream_core::envelope::{NewEvent, StreamId};
use factstream_core::store::{Append, Appended, CommandKey, Conflict, Expected, Outcome};

/// Why nothing was appended.
pub(super) enum Lost {
    /// The key was used before, for the same.
    Repeated(Appended),
    /// Another process was faster.
    Conflict(Conflict),
    Failed(Error),
}

/// Appends the events after those that the state stands on.
pub(super) async fn write<A>(
    kernel: &Kernel,
    stream: &StreamId,
    decided_on: &State<A>,
    events: Vec<NewEvent>,
    key: Option<CommandKey>,
) -> Result<Appended, Lost> {
    let append = Append { stream: stream.clone(), expected: Expected::Exact(decided_on.version), events };
    match kernel.store.append(append, key).await {
        Ok(Outcome::Appended(appended)) => Ok(appended),
        Ok(Outcome::Repeated(first)) => Err(Lost::Repeated(first)),
        Ok(Outcome::Conflict(conflict)) => Err(Lost::Conflict(conflict)),
        Ok(Outcome::KeyReused { key, first_used_for }) => {
            Err(Lost::Failed(Error::KeyReused { key, first_used_for }))
        }
        Err(error) => Err(Lost::Failed(error.into())),
    }
}

/// Keeps the state that has the appended events in it.
pub(super) fn keep<A: Aggregate>(kernel: &Kernel, stream: &StreamId, mut state: State<A>) {
    kernel.states.snapshot_if_due(&kernel.store, stream, &mut state);
    kernel.states.put(stream, state);
}

/// Keeps the state that another process has gone beyond: the next load begins with it.
pub(super) fn fell_behind<A: Aggregate>(
    kernel: &Kernel,
    stream: &StreamId,
    state: State<A>,
    conflict: &Conflict,
) {
    // Of a stream that is not new nothing was read yet: a snapshot may be nearer than its beginning.
    if state.version > 0 {
        kernel.states.put(stream, state);
        kernel.states.fell_behind(conflict);
    }
}

pub(super) fn data_bytes(events: &[NewEvent]) -> usize {
    events.iter().map(|event| event.data.len()).sum()
}
