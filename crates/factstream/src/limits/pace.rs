//! When permits are due: a token bucket as a row of times, one interval apart (the generic cell rate algorithm, ITU-T I.371).
//!
//! Invariants: no two permits of a bucket are due less than an interval apart, and none is used later than the tolerance after its time. So
//! in any time t at most t + tolerance, divided by the interval, and one are used: the rate and the burst. All times are
//! nanoseconds since 1970 by one clock.

pub(super) const NANOS_PER_SECOND: f64 = 1e9;

/// A permit may be used so late in any case: a sleeping task does not wake up to the microsecond.
const LATE_NANOS: i64 = 20_000_000;
/// A bucket is never taken from further ahead than this, and [`AHEAD_PERMITS`]: what says so was written when the clock was wrong.
const AHEAD_NANOS: i64 = 60_000_000_000;
const AHEAD_PERMITS: i64 = 1_000;

/// How permits follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(super) interval: i64,
    /// So much of an idle time is made up for.
    burst: i64,
    /// For so long after its time a permit is good.
    pub(super) tolerance: i64,
}

/// Between these two a bucket's next time counts; else it begins at the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credible {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Pace {
    pub(super) fn new(interval: i64, burst: u32) -> Self {
        let interval = interval.max(1);
        let burst = interval.saturating_mul(i64::from(burst) - 1);
        Self { interval, burst, tolerance: burst.max(LATE_NANOS) }
    }

    /// When a bucket's next permit can be due, as it is `now`.
    pub(super) fn credible(self, now: i64) -> Credible {
        let ahead = self.interval.saturating_mul(AHEAD_PERMITS).saturating_add(AHEAD_NANOS);
        Credible { from: now.saturating_sub(self.burst), to: now.saturating_add(ahead) }
    }

    /// How long so many permits take.
    pub(super) fn span(self, permits: usize) -> i64 {
        self.interval.saturating_mul(i64::try_from(permits).unwrap_or(i64::MAX))
    }

    /// Takes permits from a bucket: when the first one is due.
    pub(super) fn take(self, next: &mut i64, now: i64, permits: usize) -> i64 {
        let Credible { from, to } = self.credible(now);
        let first = if (from..=to).contains(next) { *next } else { from };
        *next = first.saturating_add(self.span(permits));
        first
    }

    /// Whether a permit that was due then is too late to be used.
    pub(super) fn has_lapsed(self, due: i64, now: i64) -> bool {
        now > due.saturating_add(self.tolerance)
    }

    /// How many permits are taken ahead at most: those of a few moments.
    pub(super) fn block_max(self) -> usize {
        usize::try_from(LATE_NANOS / self.interval).unwrap_or(1).clamp(1, 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: i64 = 1_000_000;

    #[test]
    fn an_idle_bucket_gives_its_burst_and_then_one_permit_an_interval() {
        let pace = Pace::new(100 * MILLI, 5);
        let (mut next, now) = (0, 1_000_000 * MILLI);
        let due: Vec<i64> = (0..8).map(|_| pace.take(&mut next, now, 1)).collect();
        assert_eq!(due.iter().filter(|due| **due <= now).count(), 5, "{due:?}");
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 100 * MILLI));
    }

    #[test]
    fn a_bucket_that_a_wrong_clock_moved_a_year_ahead_goes_on_now() {
        let pace = Pace::new(100 * MILLI, 1);
        let now = 1_000_000 * MILLI;
        let mut next = now + 365 * 86_400_000 * MILLI;
        assert!(pace.take(&mut next, now, 1) <= now);
    }

    proptest! {
        /// However often and late permits are taken, no window has more than the rate and the burst.
        #[test]
        fn no_window_has_more_than_the_rate_and_the_burst(
            interval in 1_i64..500, burst in 1_u32..50, pauses in prop::collection::vec(0_i64..2_000, 1..300)
        ) {
            let pace = Pace::new(interval * MILLI, burst);
            let (mut next, mut now, mut used) = (0, 1_000_000 * MILLI, Vec::new());
            for pause in pauses {
                now += pause * MILLI / 10;
                let due = pace.take(&mut next, now, 1);
                now = now.max(due);
                if !pace.has_lapsed(due, now) {
                    used.push(now);
                }
            }
            for (at, from) in used.iter().enumerate() {
                for (count, to) in used[at..].iter().enumerate() {
                    let most = (to - from + pace.tolerance) / pace.interval + 1;
                    prop_assert!(i64::try_from(count + 1).unwrap() <= most, "{} in {}", count + 1, to - from);
                }
            }
        }
    }
}
