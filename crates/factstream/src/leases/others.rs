//! The other processes on the store, as this one has watched their beats, and what they run.
//!
//! Invariant: how long a beat stands still is told by this process's own clock, and no two clocks are ever compared.

use super::PATIENCE;
use super::identity::Identity;
use super::runs::{Builds, Runs};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a beat may stand still until nobody needs its row any more.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// What was seen of one owner: its beat, and since when it has stood there.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) beat: i64,
    since: Instant,
}

impl Seen {
    pub(super) fn new(beat: i64, now: Instant) -> Self {
        Self { beat, since: now }
    }

    /// Sees it again.
    pub(super) fn note(&mut self, beat: i64, now: Instant) {
        if self.beat != beat {
            *self = Self::new(beat, now);
        }
    }

    /// Whether it has stood still for so long.
    pub(super) fn stands_for(&self, patience: Duration, now: Instant) -> bool {
        now.duration_since(self.since) >= patience
    }
}

/// An owner, as its row says and as its beat was watched.
struct Other {
    builds: Builds,
    seen: Seen,
}

#[derive(Default)]
pub(super) struct Others(HashMap<String, Other>);

impl Others {
    /// Notes all other owners there are: their beats, and which builds they run.
    pub(super) fn note(&mut self, owners: HashMap<String, (i64, Builds)>, now: Instant) {
        self.0.retain(|owner, _| owners.contains_key(owner));
        for (owner, (beat, builds)) in owners {
            let seen = self.0.get(&owner).map_or_else(|| Seen::new(beat, now), |other| other.seen);
            let other = self.0.entry(owner).or_insert(Other { builds: Builds::new(), seen });
            other.builds = builds;
            other.seen.note(beat, now);
        }
    }

    /// How many processes that live work on a handler. Those of another build stand by: they have no share.
    pub(super) fn running(&self, runs: &Runs, now: Instant) -> usize {
        let runs = |(owner, Other { builds, seen }): &(&String, &Other)| {
            runs.is_told_by(builds) && !seen.stands_for(PATIENCE, now) && !Identity::parse(owner).died_here()
        };
        self.0.iter().filter(runs).count()
    }

    /// Whether a process lives, as far as it was watched: one that was not seen before may.
    pub(super) fn lives(&self, owner: &str, now: Instant) -> bool {
        let stands = self.0.get(owner).is_some_and(|other| other.seen.stands_for(PATIENCE, now));
        !stands && !Identity::parse(owner).died_here()
    }

    /// Those that will not be heard of again, and the beat where they stopped.
    pub(super) fn gone(&self, now: Instant) -> Vec<(String, i64)> {
        let is_gone = |(owner, other): &(&String, &Other)| {
            other.seen.stands_for(FORGOTTEN, now) || Identity::parse(owner).died_here()
        };
        self.0.iter().filter(is_gone).map(|(owner, other)| (owner.clone(), other.seen.beat)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_still_lives_no_more_and_is_forgotten_much_later_unless_it_moves_again() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let owner = |service: &str| format!("elsewhere/7/id/host/{service}");
        let owners = |orders, mail| {
            let told = |handler: &str, build: &str| Builds::from([(handler.to_owned(), build.to_owned())]);
            HashMap::from([
                (owner("orders"), (orders, told("orders", "2"))),
                (owner("mail"), (mail, told("mail", "7 lanes"))),
            ])
        };
        let runs = |handler: &str, build: &str, marks_inbox| {
            let (handler, build) = (handler.to_owned(), build.to_owned());
            Runs { handler, build, marks_inbox }
        };
        let (orders, mail) = (runs("orders", "2", false), runs("mail", "7", true));
        let mut others = Others::default();
        others.note(owners(1, 1), at(0));
        assert_eq!((others.running(&orders, at(1)), others.running(&mail, at(1))), (1, 1));
        let stand_by = [runs("orders", "1", false), runs("mail", "7", false), runs("nobody", "2", false)];
        assert!(
            stand_by.iter().all(|runs| others.running(runs, at(1)) == 0),
            "they run other builds, or lanes"
        );
        others.note(owners(1, 2), at(3));
        assert_eq!((others.running(&orders, at(3)), others.running(&mail, at(3))), (0, 1));
        others.note(owners(1, 3), at(3_599));
        assert!(others.gone(at(3_599)).is_empty(), "it may be paused");
        assert_eq!(others.gone(at(3_600)), [(owner("orders"), 1)]);
        others.note(owners(0, 3), at(3_600)); // its row was deleted, and it made another
        assert!(others.gone(at(3_601)).is_empty());
        assert_eq!(others.running(&orders, at(3_601)), 1);
    }
}
