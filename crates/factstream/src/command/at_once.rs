//! A command whose stream nobody else of this process wants now, decided and appended by its caller: the usual case, without the
//! price of a queue.
//!
//! Invariant: what is not usual (nothing to record, a refusal, a conflict, a state that has to be read first) is left to
//! [`together`], which decides again: [`Command::decide`] has no effects.

use crate::command::job::{Answer, Asked, Job};
use crate::command::together;
use crate::command::write::{Lost, data_bytes, fell_behind, keep, write};
use crate::kernel::Kernel;
use factstream_core::aggregate::{Aggregate, Command};
use factstream_core::envelope::StreamId;
use factstream_core::store::Conflict;
use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Executes a command whose turn it is. `None`: it ended before it was answered.
pub(super) async fn execute<A: Aggregate, C: Command<A> + 'static>(
    kernel: &Kernel,
    stream: &StreamId,
    command: C,
    asked: Asked,
) -> Option<Answer<A, C::Error>> {
    let lost_to = match attempt(kernel, stream, &command, &asked).await {
        Attempt::Answered(answer) => return Some(answer),
        Attempt::Again(lost_to) => lost_to,
    };
    let (job, mut answer) = Job::new(command, asked);
    Box::pin(together::execute(kernel, stream, vec![job], lost_to)).await;
    answer.try_recv().ok()
}

enum Attempt<A: Aggregate, E> {
    Answered(Answer<A, E>),
    /// Not this way; because another process was faster, or because it is not the usual case.
    Again(Option<Conflict>),
}

async fn attempt<A: Aggregate, C: Command<A>>(
    kernel: &Kernel,
    stream: &StreamId,
    command: &C,
    asked: &Asked,
) -> Attempt<A, C::Error> {
    let states = &kernel.states;
    let mut state = match states.take::<A>(stream) {
        Some(state) => state,
        None if states.begins_streams(type_name::<C>()) => states.begin(),
        None => return Attempt::Again(None),
    };
    let decided = if asked.expected.as_ref().is_none_or(|expected| expected.holds(state.version)) {
        catch_unwind(AssertUnwindSafe(|| command.decide(&state.of)))
            .ok()
            .and_then(Result::ok)
            .filter(|events| !events.is_empty())
    } else {
        None
    };
    let Some(Ok((stamped, events))) = decided.map(|events| asked.origin.stamp_all(&events)) else {
        if state.version > 0 {
            states.put(stream, state);
        }
        return Attempt::Again(None);
    };
    let bytes = data_bytes(&stamped);
    Attempt::Answered(match write(kernel, stream, &state, stamped, asked.key.clone()).await {
        Ok(appended) => {
            state.apply(&events, bytes);
            let after = asked.wants_state.then(|| state.of.clone());
            keep(kernel, stream, state);
            let (version, position) = (appended.version, appended.position);
            Answer::Appended { version, position, events, state: after }
        }
        Err(Lost::Conflict(conflict)) => {
            fell_behind(kernel, stream, state, &conflict);
            return Attempt::Again(Some(conflict));
        }
        Err(Lost::Repeated(first)) => Answer::Repeated(first),
        Err(Lost::Failed(error)) => Answer::Failed(error),
    })
}
