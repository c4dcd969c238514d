//! How often a handler may call, as a user declares it.

use super::pace::{NANOS_PER_SECOND, Pace};
use factstream_core::envelope::Envelope;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A rate above this is none.
const PER_SECOND_MAX: f64 = 1_000_000.0;
/// One call a day is the lowest rate, and a burst comes back within a day: older permits are forgotten.
pub(super) const DAY_SECONDS: f64 = 86_400.0;
/// By default, what a handler did not use of this part of a second it may make up for.
const BURST_NANOS: i64 = 50_000_000;

/// Gives the key of an event of one type; `None` for events of others.
pub(super) type KeyOf = Arc<dyn Fn(&(dyn Any + Send + Sync)) -> Option<String> + Send + Sync>;

/// How many calls a handler may start: a token bucket (G20).
///
/// In any time, no more calls are started than the rate gives for that time, and the burst. Waiting for a permit is no failure and no
/// attempt, and no time limit runs. Each process has the rate for itself, unless it is [shared](Rate::shared).
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/shop.rs"));
/// use factstream::{Consumer, Rate};
/// # fn main() {
///
/// let mailing = Consumer::new("mailing")
///     .handler(Mailing)
///     .rate(Rate::per_second(50).burst(100).by(|event: &Envelope<OrderEvent>| event.aggregate_id.clone()).shared());
/// # let _ = mailing;
/// # }
/// ```
#[derive(Clone)]
pub struct Rate {
    per_second: f64,
    burst: Option<u32>,
    pub(super) is_shared: bool,
    pub(super) key: Option<KeyOf>,
}

impl Rate {
    /// So many calls a second, evenly spaced: `50`, `0.5`.
    pub fn per_second(calls: impl Into<f64>) -> Self {
        Self { per_second: calls.into(), burst: None, is_shared: false, key: None }
    }

    /// So many calls a minute.
    pub fn per_minute(calls: impl Into<f64>) -> Self {
        Self::per_second(calls.into() / 60.0)
    }

    /// So many calls an hour.
    pub fn per_hour(calls: impl Into<f64>) -> Self {
        Self::per_second(calls.into() / 3_600.0)
    }

    /// How many calls may follow each other at once after a time with fewer of them, at least 1. By default a twentieth of a second's.
    pub fn burst(mut self, calls: u32) -> Self {
        self.burst = Some(calls);
        self
    }

    /// A rate for each key: of a customer, a merchant, a host. At most 10,000 keys are told apart at a time; further ones share a rate
    /// until others have been idle. Events of the consumer that are of other types share one, too. Pure.
    pub fn by<E: 'static>(mut self, key: impl Fn(&Envelope<E>) -> String + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(move |event| event.downcast_ref::<Envelope<E>>().map(&key)));
        self
    }

    /// One rate over all processes on the store, by the store's clock. A process takes its permits in blocks from the table `fs_rates`.
    pub fn shared(mut self) -> Self {
        self.is_shared = true;
        self
    }

    /// The spacing of its permits, or what is wrong with it.
    pub(crate) fn pace(&self) -> Result<Pace, String> {
        let per_second = self.per_second;
        if !per_second.is_finite() || per_second <= 0.0 {
            return Err(format!("a rate of {per_second} calls a second; it is a number above 0"));
        }
        let interval = 1.0 / per_second;
        if per_second > PER_SECOND_MAX || interval > DAY_SECONDS * 1.000_001 {
            return Err(format!(
                "a rate of {per_second} calls a second; it is between one a day and {PER_SECOND_MAX} a second"
            ));
        }
        let nanos = ((interval * NANOS_PER_SECOND).round() as i64).max(1);
        let burst = self.burst.unwrap_or_else(|| u32::try_from(BURST_NANOS / nanos).unwrap_or(1).max(1));
        if burst == 0 {
            return Err("a burst of 0 calls, which would let none through; it is at least 1".to_owned());
        }
        if f64::from(burst - 1) * interval > DAY_SECONDS {
            return Err(format!(
                "a burst of {burst} calls, which takes more than a day to come back at {per_second} calls a second; make it smaller"
            ));
        }
        Ok(Pace::new(nanos, burst))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate")
            .field("per_second", &self.per_second)
            .field("burst", &self.burst)
            .field("shared", &self.is_shared)
            .field("by_key", &self.key.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_is_none_is_refused_with_what_to_write() {
        for refused in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6, 1e-9] {
            assert!(Rate::per_second(refused).pace().is_err(), "{refused}");
        }
        assert!(Rate::per_second(5).burst(0).pace().is_err_and(|error| error.contains("at least 1")));
        assert!(Rate::per_hour(1).burst(100).pace().is_err_and(|error| error.contains("a day")));
        for good in [Rate::per_second(50), Rate::per_minute(0.5), Rate::per_hour(1).burst(24)] {
            assert!(good.pace().is_ok(), "{good:?}");
        }
        assert!(Rate::per_hour(1.0 / 24.0).pace().is_ok(), "one a day");
    }
}
