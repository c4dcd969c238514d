//! A clock in a test's hand.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that stands still until the test moves it. Clones are the same clock.
///
/// ```
/// use factstream::testing::TestClock;
/// use std::time::Duration;
///
/// let clock = TestClock::at("2026-11-29T12:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.now().to_string(), "2026-11-29T12:01:30Z");
/// # Ok::<_, jiff::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    micros: Arc<AtomicI64>,
}

impl TestClock {
    /// A clock that shows this time, to the microsecond.
    pub fn at(time: Timestamp) -> Self {
        Self { micros: Arc::new(AtomicI64::new(time.as_microsecond())) }
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.micros.load(Ordering::Relaxed)).unwrap_or(Timestamp::MAX)
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        self.set(
            self.now()
                .checked_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
                .unwrap_or(Timestamp::MAX),
        );
    }

    /// Sets it.
    pub fn set(&self, time: Timestamp) {
        self.micros.store(time.as_microsecond(), Ordering::Relaxed);
    }
}
