//! The store's clock: what marks are dated with, and what tells their age and whether they are due.
//!
//! Invariant: no two processes' clocks are compared. The store is asked now and then ([`Store::clock`]); in between its time goes on as
//! this process counts the seconds (a monotonic clock), so that setting the time of a machine moves nothing.

use super::TestClock;
use crate::tasks::lock;
use factstream_core::sql::now;
use factstream_core::store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// For how long an answer of the store is good enough.
const FRESH: Duration = Duration::from_secs(60);
/// How often a clock is looked at that a test moves.
const BY_HAND_WAIT: Duration = Duration::from_millis(5);

/// What the store said last, and when.
#[derive(Debug, Default)]
pub(crate) struct StoreClock {
    asked: Mutex<Option<Asked>>,
    /// A test's clock, in the place of the store's.
    by_hand: Option<TestClock>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    said: Timestamp,
    /// When the answer came: so this process is never ahead of the store.
    heard: Instant,
}

impl Asked {
    fn goes_on(self) -> Timestamp {
        let passed = i64::try_from(self.heard.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.said.checked_add(SignedDuration::from_micros(passed)).unwrap_or(self.said)
    }
}

impl StoreClock {
    /// A clock that only a test moves.
    pub(crate) fn by_hand(clock: TestClock) -> Self {
        Self { by_hand: Some(clock), ..Self::default() }
    }

    /// How long something may wait that goes by this clock: a clock that is moved by hand does not wake it.
    pub(crate) fn wait_at_most(&self, wait: Duration) -> Duration {
        if self.by_hand.is_some() { wait.min(BY_HAND_WAIT) } else { wait }
    }

    /// The store's time, as it was asked for last and has gone on since.
    pub(crate) fn now(&self) -> Timestamp {
        if let Some(clock) = &self.by_hand {
            return clock.now();
        }
        (*lock(&self.asked)).map_or_else(now, Asked::goes_on)
    }

    /// The store's time, which is asked for first when the last answer is too old.
    pub(crate) async fn fresh(&self, store: &dyn Store) -> Result<Timestamp, StoreError> {
        let asked = *lock(&self.asked);
        match asked.is_some_and(|asked| asked.heard.elapsed() < FRESH) {
            true => Ok(self.now()),
            false => self.ask(store).await,
        }
    }

    /// Asks the store.
    pub(crate) async fn ask(&self, store: &dyn Store) -> Result<Timestamp, StoreError> {
        if let Some(clock) = &self.by_hand {
            return Ok(clock.now());
        }
        let said = store.clock().await?;
        *lock(&self.asked) = Some(Asked { said, heard: Instant::now() });
        Ok(said)
    }
}
