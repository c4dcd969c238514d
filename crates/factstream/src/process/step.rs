//! The state machine without a store: which instances an event concerns, and one reaction of an instance.

use super::acts::{ACTS_MAX, Acts};
use super::correlate::Target;
use super::input::Input;
use super::traits::Process;
use crate::handler::Failure;
use crate::tasks::panic_text;
use factstream_core::envelope::Envelope;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reactions that may follow from one event: its own, and one for each refused command.
pub const REACTIONS_MAX: usize = 100;

/// The instances that an event concerns.
///
/// # Errors
/// When `correlate` panics, or gives ids that cannot be used.
pub(crate) fn correlated<P: Process>(event: &Envelope<P::Events>) -> Result<Vec<Target>, String> {
    let correlate = catch_unwind(AssertUnwindSafe(|| P::correlate(event)));
    correlate.map_err(|panic| format!("it panicked: {}", panic_text(&*panic)))?.targets()
}

/// Has an instance take an input; what it asks for.
///
/// # Errors
/// What the process says, its panic, or that it asks for too much.
pub(crate) fn take<P: Process>(
    id: &str,
    state: &mut P,
    input: Input<'_, P::Events>,
) -> Result<Acts, Failure> {
    let mut acts = Acts::of(id);
    let reacted = catch_unwind(AssertUnwindSafe(|| state.react(input, &mut acts)));
    reacted.unwrap_or_else(|panic| {
        Err(Failure::transient(format!("the process panicked: {}", panic_text(&*panic))))
    })?;
    match acts.count() {
        count if count > ACTS_MAX => Err(Failure::permanent(format!(
            "one reaction of {} asks for {count} commands, appends, timers and aliases; it can ask for {ACTS_MAX}. Spread them over several inputs",
            P::NAME
        ))),
        _ => Ok(acts),
    }
}
