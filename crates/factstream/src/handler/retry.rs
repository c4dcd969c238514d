//! When a failing event is tried again.

use super::failure::RETRY_AFTER_MAX;
use std::time::Duration;

/// When a failing event is tried again. Exponential backoff with jitter.
///
/// ```
/// use factstream::Retry;
/// use std::time::Duration;
///
/// // 5 attempts: at once, then after about 0.1 s, 0.2 s, 0.4 s and 0.8 s; then a dead letter.
/// let retry = Retry { max_attempts: 5, initial: Duration::from_millis(100), ..Retry::default() };
/// assert_eq!(retry.delay(2, 0.0), Duration::from_millis(200));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Attempts before the event becomes a dead letter, the first one included; at least 1.
    pub max_attempts: u32,
    /// The delay before the second attempt.
    pub initial: Duration,
    /// By how much each delay is longer than the one before.
    pub factor: f64,
    /// No delay is longer than this.
    pub max_delay: Duration,
    /// How much of a delay is random, from 0 (none) to 1 (anything from nothing to the double).
    pub jitter: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial: Duration::from_millis(100),
            factor: 2.0,
            max_delay: Duration::from_secs(30),
            jitter: 0.2,
        }
    }
}

impl Retry {
    /// The delay after this many failed attempts; `chance`, from -1 to 1, places it within the jitter.
    pub fn delay(&self, attempts: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        let limited = grown.min(self.max_delay.as_secs_f64());
        let jittered = limited * (1.0 + self.jitter.clamp(0.0, 1.0) * chance.clamp(-1.0, 1.0));
        Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(self.max_delay)
    }

    /// No plan is for later than this, whether of this backoff or of a failure that asked to wait.
    pub(crate) fn longest_delay(&self) -> Duration {
        self.delay(u32::MAX, 1.0).max(RETRY_AFTER_MAX)
    }

    pub(crate) fn delay_with_jitter(&self, attempts: u32) -> Duration {
        self.delay(attempts, rand::random_range(-1.0..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_stay_within_the_jitter() {
        let retry = Retry { jitter: 0.5, max_delay: Duration::from_secs(1), ..Retry::default() };
        assert_eq!(retry.delay(1, 0.0), Duration::from_millis(100));
        assert_eq!(retry.delay(3, 0.0), Duration::from_millis(400));
        assert_eq!(retry.delay(30, 0.0), Duration::from_secs(1));
        assert_eq!(retry.delay(u32::MAX, 1.0), Duration::from_millis(1_500));
        assert_eq!(retry.delay(1, -1.0), Duration::from_millis(50));
    }
}
