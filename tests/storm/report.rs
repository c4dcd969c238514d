//! What a storm was: what was acknowledged, the faults by kind, and how soon orders were taken again after each.

use crate::compensation::Ends;
use crate::load::Ledger;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Report {
    /// What was done, by kind, and when it had healed.
    pub(crate) faults: Vec<(&'static str, Instant)>,
    /// Workers that a handler aborted.
    pub(crate) aborted: u32,
    /// Keys that stood still behind dead letters.
    pub(crate) harmed: usize,
    /// What orders came to.
    pub(crate) ends: Ends,
    /// From the last fault until nothing was under way any more.
    pub(crate) settled: Duration,
    /// From the redrive until then.
    pub(crate) redriven: Duration,
}

impl Report {
    pub(crate) fn text(&self, ledgers: &[Ledger]) -> String {
        let acknowledged: usize = ledgers.iter().map(|ledger| ledger.acknowledged.len()).sum();
        let attempts: u64 = ledgers.iter().map(|ledger| ledger.attempts).sum();
        let mut times: Vec<Instant> = ledgers.iter().flat_map(|ledger| ledger.times.clone()).collect();
        times.sort_unstable();
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = pauses.max().unwrap_or_default().as_secs_f64();

        let mut text = format!("{acknowledged} orders acknowledged in {attempts} attempts\n");
        for (kind, count, back) in self.by_kind(&times) {
            let _ =
                writeln!(text, "{count:6} {kind:28} orders taken again within {:.1} s", back.as_secs_f64());
        }
        let _ = writeln!(text, "{:6} workers aborted by a handler", self.aborted);
        let _ = writeln!(text, "{:6} keys stood still behind dead letters and flowed again", self.harmed);
        let Ends { shipped, cancelled, overdue, refunded, returned } = self.ends;
        let _ = writeln!(text, "{shipped:6} orders shipped");
        let _ = writeln!(text, "{cancelled:6} cancelled, {overdue} of them when they were due");
        let _ =
            writeln!(text, "{refunded:6} of these had been paid, and {returned} reserved: given back, once");
        let _ = writeln!(text, "{longest:6.1} s at most without an acknowledged order");
        let _ = writeln!(text, "{:6.1} s to settle after the last fault", self.settled.as_secs_f64());
        let _ = writeln!(text, "{:6.1} s to settle after the redrive", self.redriven.as_secs_f64());
        text
    }

    /// Each kind of fault, how often it was done, and how long it took at most from its healing to the next
    /// acknowledgement. Another fault may have come between.
    fn by_kind(&self, times: &[Instant]) -> Vec<(&'static str, u32, Duration)> {
        let mut kinds: BTreeMap<&'static str, (u32, Duration)> = BTreeMap::new();
        for (kind, healed) in &self.faults {
            let next = times.get(times.partition_point(|time| time < healed));
            let (count, back) = kinds.entry(kind).or_default();
            *count += 1;
            *back = (*back).max(next.map_or(Duration::ZERO, |next| *next - *healed));
        }
        kinds.into_iter().map(|(kind, (count, back))| (kind, count, back)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_counted_from_the_healing_to_the_next_acknowledgement() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let faults = vec![("cut", at(1)), ("killed", at(4)), ("cut", at(10))];
        let report = Report { faults, ..Report::default() };
        let seconds = Duration::from_secs;
        let times = [at(2), at(3), at(9)];
        assert_eq!(report.by_kind(&times), [("cut", 2, seconds(1)), ("killed", 1, seconds(5))]);
    }
}
