//! The schedule of faults: everything in it comes from the seed, so that the same seed gives the same storm.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::time::Duration;

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// One of the processes of the services, by number.
    Service(usize),
    /// The PostgreSQL server.
    Store,
    /// The Kafka broker.
    Broker,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, then a new start.
    Kill(Target),
    /// SIGSTOP, then SIGCONT after so long.
    Pause(Target, Duration),
}

impl Fault {
    /// Its kind, for the summary.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kill(Target::Service(_)) => "services killed",
            Self::Kill(Target::Store) => "PostgreSQL killed",
            Self::Kill(Target::Broker) => "Kafka killed",
            Self::Pause(Target::Service(_), _) => "services paused",
            Self::Pause(Target::Store, _) => "PostgreSQL paused",
            Self::Pause(Target::Broker, _) => "Kafka paused",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target:?}"),
            Self::Pause(target, time) => write!(f, "pause {target:?} for {} s", time.as_secs()),
        }
    }
}

/// The faults of a storm, each with its time after the beginning.
pub(crate) fn schedule(
    seed: u64,
    length: Duration,
    services: usize,
    has_store_server: bool,
    has_broker_server: bool,
) -> Vec<(Duration, Fault)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = Duration::from_secs(3);
    let mut faults = Vec::new();
    while at < length {
        let target = match random.random_range(0..10) {
            0 | 1 if has_store_server => Target::Store,
            2 | 3 if has_broker_server => Target::Broker,
            _ => Target::Service(random.random_range(0..services)),
        };
        // Past every lease and session time-out now and then.
        let pause = Duration::from_secs(match random.random_range(0..5) {
            0 => 30,
            _ => random.random_range(1..=8),
        });
        // A paused postmaster leaves its backends at work: the server is only killed.
        let fault = match random.random_bool(0.6) || target == Target::Store {
            true => Fault::Kill(target),
            false => Fault::Pause(target, pause),
        };
        faults.push((at, fault));
        at += Duration::from_millis(random.random_range(500..6_000));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_storm_and_another_seed_another() {
        let storm = |seed| schedule(seed, Duration::from_secs(600), 6, true, true);
        assert_eq!(storm(7), storm(7));
        assert_ne!(storm(7), storm(8));
        let kinds: std::collections::BTreeSet<&str> =
            storm(7).iter().map(|(_, fault)| fault.kind()).collect();
        assert!(kinds.len() >= 5, "{kinds:?}");
        let calm = schedule(7, Duration::from_secs(600), 6, false, false);
        assert!(calm.iter().all(|(_, fault)| fault.kind().starts_with("services")));
    }
}
