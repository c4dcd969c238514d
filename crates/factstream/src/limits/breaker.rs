//! The circuit of one handler in this process: closed, or open until a time; then one event is tried.
//!
//! Invariant: while it is open at most one event is under way that came after it opened, the probe.

use super::circuit::Circuit;
use crate::tasks::lock;
use jiff::{SignedDuration, Timestamp};
use std::sync::Mutex;
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp, failures: u32 },
    Probing { failures: u32 },
}

/// What whoever comes is told.
pub(super) enum Told {
    /// Go on; as the probe?
    GoOn { probe: bool },
    /// Wait until this time, or for news.
    Wait(Option<Timestamp>),
}

pub(super) struct Breaker {
    circuit: Circuit,
    state: Mutex<State>,
    pub(super) news: Notify,
}

impl Breaker {
    pub(super) fn new(circuit: Circuit) -> Self {
        Self { circuit, state: Mutex::new(State::Closed { failures: 0 }), news: Notify::new() }
    }

    pub(super) fn come(&self, now: Timestamp) -> Told {
        let mut state = lock(&self.state);
        match *state {
            State::Closed { .. } => Told::GoOn { probe: false },
            State::Open { until, failures } if until <= now => {
                *state = State::Probing { failures };
                Told::GoOn { probe: true }
            }
            State::Open { until, .. } => Told::Wait(Some(until)),
            State::Probing { .. } => Told::Wait(None),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(*lock(&self.state), State::Closed { .. })
    }

    /// The other side answered. Whoever began before the circuit opened does not close it.
    pub(super) fn answered(&self, probe: bool) {
        let mut state = lock(&self.state);
        if probe || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// A transient failure.
    pub(super) fn failed(&self, probe: bool, now: Timestamp) {
        let pause = SignedDuration::try_from(self.circuit.pause).unwrap_or(SignedDuration::MAX);
        let until = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        let mut state = lock(&self.state);
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.circuit.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { failures } => State::Open { until, failures: failures + 1 },
            State::Probing { failures } if probe => {
                State::Open { until, failures: failures.saturating_add(1) }
            }
            other => other,
        };
        drop(state);
        self.news.notify_waiters();
    }

    /// The probe came to nothing: another one may be made at once.
    pub(super) fn probe_dropped(&self, now: Timestamp) {
        let mut state = lock(&self.state);
        if let State::Probing { failures } = *state {
            *state = State::Open { until: now, failures };
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Why the handler pauses, if it does.
    pub(super) fn reason(&self) -> Option<String> {
        let (failures, next) = match *lock(&self.state) {
            State::Closed { .. } => return None,
            State::Open { until, failures } => (failures, format!("one event is tried at {until:.0}")),
            State::Probing { failures } => (failures, "one event is being tried".to_owned()),
        };
        Some(format!("its circuit is open after {failures} failures in a row; {next}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("it is a time")
    }

    fn is_probe(told: &Told) -> bool {
        matches!(told, Told::GoOn { probe: true })
    }

    #[test]
    fn it_opens_after_failures_in_a_row_lets_one_through_after_the_pause_and_closes_with_its_success() {
        let breaker = Breaker::new(Circuit::after(3).pause(Duration::from_secs(30)));
        for outcome in [false, false, true, false, false] {
            match outcome {
                true => breaker.answered(false),
                false => breaker.failed(false, at(0)),
            }
        }
        assert!(breaker.is_closed(), "not in a row");
        breaker.failed(false, at(0));
        assert!(matches!(breaker.come(at(29)), Told::Wait(Some(until)) if until == at(30)));
        breaker.answered(false);
        assert!(!breaker.is_closed(), "an answer from before says nothing");
        assert!(is_probe(&breaker.come(at(30))));
        assert!(matches!(breaker.come(at(31)), Told::Wait(None)), "one at a time");
        breaker.failed(true, at(31));
        assert!(matches!(breaker.come(at(60)), Told::Wait(Some(until)) if until == at(61)));
        assert!(is_probe(&breaker.come(at(61))));
        breaker.probe_dropped(at(61));
        assert!(is_probe(&breaker.come(at(61))), "one that came to nothing is made up for");
        breaker.answered(true);
        assert!(breaker.is_closed() && breaker.reason().is_none());
    }
}
