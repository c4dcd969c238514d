//! The other processes on the store, as this one has watched their beats.
//!
//! Invariant: how long a beat stands still is told by this process's own clock, and no two clocks are ever compared.

use super::PATIENCE;
use super::identity::Identity;
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

#[derive(Default)]
pub(super) struct Others(HashMap<String, Seen>);

impl Others {
    /// Notes the beats of all other owners there are.
    pub(super) fn note(&mut self, beats: &HashMap<String, i64>, now: Instant) {
        self.0.retain(|owner, _| beats.contains_key(owner));
        for (owner, beat) in beats {
            self.0.entry(owner.clone()).or_insert_with(|| Seen::new(*beat, now)).note(*beat, now);
        }
    }

    /// How many processes of a service live: those whose beat moves.
    pub(super) fn living(&self, service: &str, now: Instant) -> usize {
        let lives = |(owner, seen): &(&String, &Seen)| {
            let identity = Identity::parse(owner);
            identity.service == service && !seen.stands_for(PATIENCE, now) && !identity.died_here()
        };
        self.0.iter().filter(lives).count()
    }

    /// Whether a process lives, as far as it was watched: one that was not seen before may.
    pub(super) fn lives(&self, owner: &str, now: Instant) -> bool {
        let stands = self.0.get(owner).is_some_and(|seen| seen.stands_for(PATIENCE, now));
        !stands && !Identity::parse(owner).died_here()
    }

    /// Those that will not be heard of again, and the beat where they stopped.
    pub(super) fn gone(&self, now: Instant) -> Vec<(String, i64)> {
        let is_gone = |(owner, seen): &(&String, &Seen)| {
            seen.stands_for(FORGOTTEN, now) || Identity::parse(owner).died_here()
        };
        self.0.iter().filter(is_gone).map(|(owner, seen)| (owner.clone(), seen.beat)).collect()
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
        let beats = |orders, mail| HashMap::from([(owner("orders"), orders), (owner("mail"), mail)]);
        let mut others = Others::default();
        others.note(&beats(1, 1), at(0));
        assert_eq!((others.living("orders", at(1)), others.living("nobody", at(1))), (1, 0));
        others.note(&beats(1, 2), at(3));
        assert_eq!((others.living("orders", at(3)), others.living("mail", at(3))), (0, 1));
        others.note(&beats(1, 3), at(3_599));
        assert!(others.gone(at(3_599)).is_empty(), "it may be paused");
        assert_eq!(others.gone(at(3_600)), [(owner("orders"), 1)]);
        others.note(&beats(0, 3), at(3_600)); // its row was deleted, and it made another
        assert!(others.gone(at(3_601)).is_empty());
        assert_eq!(others.living("orders", at(3_601)), 1);
    }
}
