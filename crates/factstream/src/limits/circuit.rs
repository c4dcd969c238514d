//! When a handler pauses as a whole, as a user declares it.

use std::time::Duration;

/// A pause that is not said.
const PAUSE: Duration = Duration::from_secs(30);
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// After some failures in a row the handler pauses as a whole, and then tries one event (G20).
///
/// When the other side is down, each event would use up its attempts, block its key and become a dead letter. With a circuit the
/// handler waits instead: after the pause one event is tried; when that fails, the next pause begins, and that attempt does not count; when
/// it succeeds, the handler goes on. Transient failures count, of this process. A permanent one is an answer, and ends the row.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// use factstream::{Circuit, Consumer};
/// # use std::time::Duration;
/// # fn main() {
///
/// let mailing = Consumer::new("mailing").handler(Mailing).circuit(Circuit::after(20).pause(Duration::from_secs(30)));
/// # let _ = mailing;
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    pub(super) failures: u32,
    pub(super) pause: Duration,
}

impl Circuit {
    /// Opens after so many failures in a row; more than one event's [`Retry::max_attempts`](crate::Retry), so that no single event that
    /// always fails opens it.
    pub fn after(failures: u32) -> Self {
        Self { failures, pause: PAUSE }
    }

    /// For how long the handler pauses, at most a day; 30 s by default.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// What is wrong with it, for a handler whose events have so many attempts.
    pub(crate) fn check(self, max_attempts: u32) -> Result<(), String> {
        if self.failures <= max_attempts.max(1) {
            return Err(format!(
                "a circuit that opens after {} failures, and {max_attempts} attempts for an event: one event that always fails would stop \
                 all; let it open after more failures than an event has attempts",
                self.failures
            ));
        }
        if self.pause.is_zero() || self.pause > PAUSE_MAX {
            return Err(format!(
                "a circuit that pauses for {:?}; it is more than 0 and at most a day",
                self.pause
            ));
        }
        Ok(())
    }
}
