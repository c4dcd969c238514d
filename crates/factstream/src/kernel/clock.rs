//! The store's clock: what marks are dated with, and what tells their age.
//!
//! Invariant: no two processes' clocks are compared. On PostgreSQL the clock is the server's; on SQLite the machine's, which all
//! processes on the file share. It is asked for now and then, and followed by this process's own in between.

use super::TestClock;
use crate::tasks::lock;
use factstream_core::params;
use factstream_core::sql::now;
use factstream_core::store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// For how long an answer of the store is good enough.
const FRESH: Duration = Duration::from_secs(60);
/// How often a clock is looked at that a test moves.
const BY_HAND_WAIT: Duration = Duration::from_millis(5);

/// How far this process's clock is from the store's.
#[derive(Debug, Default)]
pub(crate) struct StoreClock {
    ahead_micros: AtomicI64,
    asked: Mutex<Option<Instant>>,
    /// A test's clock, in the place of the store's.
    by_hand: Option<TestClock>,
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
        let own = now();
        own.checked_sub(SignedDuration::from_micros(self.ahead_micros.load(Ordering::Relaxed))).unwrap_or(own)
    }

    /// The store's time, which is asked for first when the last answer is too old.
    pub(crate) async fn fresh(&self, store: &dyn Store) -> Result<Timestamp, StoreError> {
        let asked = *lock(&self.asked);
        match asked.is_some_and(|asked| asked.elapsed() < FRESH) {
            true => Ok(self.now()),
            false => self.ask(store).await,
        }
    }

    /// Asks the store.
    pub(crate) async fn ask(&self, store: &dyn Store) -> Result<Timestamp, StoreError> {
        if let Some(clock) = &self.by_hand {
            return Ok(clock.now());
        }
        let rows = store.query("SELECT CAST(CURRENT_TIMESTAMP AS TEXT) AS at", params![]).await?;
        let text: String = rows.first().map(|row| row.get("at")).transpose()?.unwrap_or_default();
        let Some(at) = parse(&text) else {
            return Err(StoreError::Engine(format!("the store's clock says {text:?}, which is no time")));
        };
        // SQLite tells whole seconds: a difference within one is none.
        let ahead = now().duration_since(at);
        let ahead = if ahead.abs() <= SignedDuration::from_secs(1) { SignedDuration::ZERO } else { ahead };
        self.ahead_micros.store(i64::try_from(ahead.as_micros()).unwrap_or(0), Ordering::Relaxed);
        *lock(&self.asked) = Some(Instant::now());
        Ok(self.now())
    }
}

/// `2026-11-29 11:46:45`, in UTC, or with a fraction and an offset: `2026-11-29 11:46:45.123456+05:30`.
fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(' ')?;
    let Some(sign) = rest.rfind(['+', '-']) else {
        return format!("{date}T{rest}Z").parse().ok();
    };
    let (time, offset) = rest.split_at(sign);
    let offset = if offset.len() == 3 { format!("{offset}:00") } else { offset.to_owned() };
    format!("{date}T{time}{offset}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_engine_says_is_read() {
        for (text, wanted) in [
            ("2026-11-29 11:46:45", "2026-11-29T11:46:45Z"),
            ("2026-11-29 11:46:45.123456+00", "2026-11-29T11:46:45.123456Z"),
            ("2026-11-29 17:16:45.5+05:30", "2026-11-29T11:46:45.5Z"),
            ("2026-11-29 06:46:45-05", "2026-11-29T11:46:45Z"),
        ] {
            assert_eq!(parse(text), wanted.parse().ok(), "{text}");
        }
        assert_eq!(parse("29/11/2026 11:46:45 UTC"), None);
    }
}
