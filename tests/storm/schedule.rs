//! The schedule of faults: everything in it comes from the seed, so that the same seed gives the same storm.

use factstream_core::sabotage::Sabotage;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::time::Duration;

/// Releases of the workers: other tables, logic, lanes and shards.
pub(crate) const RELEASES: u32 = 3;

/// Rights that the services need.
pub(crate) const RIGHTS: [&str; 10] = [
    "INSERT ON events",
    "SELECT ON events",
    "UPDATE ON fs_checkpoints",
    "INSERT ON fs_inbox",
    "INSERT, UPDATE ON fs_leases",
    "INSERT ON fs_dead_letters",
    "INSERT, UPDATE ON order_projections",
    "INSERT ON storm_effects",
    "INSERT, UPDATE ON storm_tally",
    "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",
];

/// The release after this one.
pub(crate) fn after(release: u32) -> u32 {
    release % RELEASES + 1
}

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

/// A way that goes through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// From one process of a service, by number, to PostgreSQL.
    Store(usize),
    /// From all processes to Kafka.
    Broker,
}

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Connections are closed, and new ones refused.
    Cut,
    /// Whatever is sent arrives late.
    Delay,
    /// Whatever is sent is swallowed, both ways, and nobody is told.
    HalfOpen,
    /// PostgreSQL's reply to COMMIT is swallowed, and the connection closed.
    LostCommit,
    /// Connections that are there are forgotten: what is sent on them is swallowed, now and later. New ones work.
    Forget,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, then a new start.
    Kill(Target),
    /// SIGSTOP, then SIGCONT after so long.
    Pause(Target, Duration),
    /// Trouble on the way, for so long.
    Network(Link, Trouble, Duration),
    /// A session that does nothing holds the lock that every append needs, for so long.
    HoldLock(Duration),
    /// A transaction that reads and does not end, for so long: SQLite's WAL grows meanwhile.
    ReadLong(Duration),
    /// A service is killed, and started again with a clock that is so many hours off.
    Clock(usize, i8),
    /// Somebody publishes messages again that were published before.
    Replay,
    /// One process more of a service, by number: every two seconds it goes, and a new one comes.
    Churn(usize),
    /// The store's disk is full, for so long.
    FullDisk(Duration),
    /// The workers go over to another release, one after the other, while the load goes on.
    RollOut(u32),
    /// The workers are killed, and started together, each as another release: as the next ones, this one and the one after it.
    Split(u32),
    /// Other teams publish messages of every kind.
    Foreign,
    /// They publish thousands that nobody can read, in a row.
    Poison,
    /// They delete their topic and make it again.
    MakeAgain,
    /// They have records deleted that were not read.
    DeleteUnread,
    /// Kafka moves to other ports.
    MoveBroker,
    /// The services lose a right in the store, for so long; which one, by number.
    Revoke(usize, Duration),
    /// PostgreSQL is killed, and its standby takes over.
    FailOver,
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
            Self::Network(Link::Store(_), Trouble::Cut, _) => "ways to PostgreSQL cut",
            Self::Network(Link::Store(_), Trouble::Delay, _) => "ways to PostgreSQL delayed",
            Self::Network(Link::Store(_), Trouble::HalfOpen, _) => "ways to PostgreSQL half open",
            Self::Network(_, Trouble::LostCommit, _) => "replies to COMMIT lost",
            Self::Network(_, Trouble::Forget, _) => "connections forgotten",
            Self::Network(Link::Broker, Trouble::Cut, _) => "ways to Kafka cut",
            Self::Network(Link::Broker, Trouble::Delay, _) => "ways to Kafka delayed",
            Self::Network(Link::Broker, Trouble::HalfOpen, _) => "ways to Kafka half open",
            Self::HoldLock(_) => "locks held",
            Self::ReadLong(_) => "long readers",
            Self::Clock(..) => "clocks off",
            Self::Replay => "messages replayed",
            Self::Churn(_) => "members coming and going",
            Self::FullDisk(_) => "disks full",
            Self::RollOut(_) => "releases rolled out or back",
            Self::Split(_) => "two releases started together",
            Self::Foreign => "messages of other teams",
            Self::Poison => "poison runs",
            Self::MakeAgain => "topics made again",
            Self::DeleteUnread => "unread records deleted",
            Self::MoveBroker => "Kafka moved",
            Self::Revoke(..) => "rights revoked",
            Self::FailOver => "PostgreSQL failed over",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(f, "kill {target:?}"),
            Self::Pause(target, time) => write!(f, "pause {target:?} for {} s", time.as_secs()),
            Self::Network(link, trouble, time) => {
                write!(f, "{trouble:?} on the way {link:?} for {} s", time.as_secs())
            }
            Self::HoldLock(time) => write!(f, "hold the lock of appends for {} s", time.as_secs()),
            Self::ReadLong(time) => write!(f, "read in one transaction for {} s", time.as_secs()),
            Self::Clock(number, hours) => write!(f, "clock of Service({number}) {hours:+} h"),
            Self::Replay => f.write_str("publish messages again"),
            Self::Churn(number) => write!(f, "members like Service({number}) come and go"),
            Self::FullDisk(time) => write!(f, "the store's disk is full for {} s", time.as_secs()),
            Self::RollOut(release) => write!(f, "the workers go over to release {release}"),
            Self::Split(release) => {
                write!(f, "the workers start together as releases {release} and {}", after(*release))
            }
            Self::Revoke(right, time) => {
                write!(f, "{} is revoked for {} s", RIGHTS[*right % RIGHTS.len()], time.as_secs())
            }
            Self::Foreign
            | Self::Poison
            | Self::MakeAgain
            | Self::DeleteUnread
            | Self::MoveBroker
            | Self::FailOver => f.write_str(self.kind()),
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
    let mut dice =
        Dice { random: StdRng::seed_from_u64(seed), services, has_store_server, has_broker_server };
    let mut at = Duration::from_secs(3);
    let mut faults = Vec::new();
    while at < length {
        faults.push((at, dice.fault()));
        at += Duration::from_millis(dice.random.random_range(500..6_000));
    }
    faults
}

/// Has every second fault be one that shows what is broken on purpose: for storms that are to catch a sabotage soon. The last two
/// services are the workers.
pub(crate) fn aim_at(sabotage: Sabotage, schedule: &mut [(Duration, Fault)], services: usize) {
    for (number, (_, fault)) in schedule.iter_mut().enumerate().filter(|(number, _)| number % 2 == 1) {
        let turn = number / 2;
        let worker = Target::Service(services - 1 - turn % 2);
        // Longer than an owner's beat may stand still.
        let pause = Fault::Pause(worker, Duration::from_secs(6));
        let release = Fault::RollOut(turn as u32 % RELEASES + 1);
        *fault = match (sabotage, turn % 4) {
            (Sabotage::InfrastructureIsTheEventsFault, _) => Fault::Revoke(turn, Duration::from_secs(3)),
            (Sabotage::IdentityWithoutIncarnation, 0) => Fault::MakeAgain,
            (Sabotage::IdentityWithoutIncarnation, _) => Fault::Foreign,
            (Sabotage::RecordTimeOfEvent, _) => Fault::Clock(turn % 3, if turn % 2 == 0 { 1 } else { -1 }),
            (Sabotage::GenerationFenceOff | Sabotage::SwitchAnyRebuild, 1) => release,
            (Sabotage::GenerationFenceOff | Sabotage::SwitchAnyRebuild, _) => {
                Fault::Split(turn as u32 % RELEASES + 1)
            }
            (_, 0 | 2) => pause,
            (_, 1) => Fault::Kill(worker),
            _ => release,
        };
    }
}

struct Dice {
    random: StdRng,
    services: usize,
    has_store_server: bool,
    has_broker_server: bool,
}

impl Dice {
    fn fault(&mut self) -> Fault {
        match self.random.random_range(0..34) {
            25 => Fault::Poison,
            26 | 27 if self.has_broker_server => Fault::MakeAgain,
            28 if self.has_broker_server => Fault::DeleteUnread,
            29 if self.has_broker_server => Fault::MoveBroker,
            30..33 if self.has_store_server => {
                Fault::Revoke(self.random.random_range(0..RIGHTS.len()), self.seconds(1, 8))
            }
            33 if self.has_store_server => Fault::FailOver,
            22.. => Fault::Foreign,
            0..8 => self.kill_or_pause(),
            8..13 => self.network().unwrap_or_else(|| self.kill_or_pause()),
            13..15 => self.lock(),
            15..17 => Fault::Replay,
            17 => Fault::Clock(self.service(), if self.random.random_bool(0.5) { 1 } else { -1 }),
            18 => Fault::Churn(self.service()),
            19 => Fault::RollOut(self.random.random_range(1..=RELEASES)),
            20 => Fault::Split(self.random.random_range(1..=RELEASES)),
            _ => Fault::FullDisk(self.seconds(2, 8)),
        }
    }

    fn kill_or_pause(&mut self) -> Fault {
        let target = match self.random.random_range(0..10) {
            0 | 1 if self.has_store_server => Target::Store,
            2 | 3 if self.has_broker_server => Target::Broker,
            _ => Target::Service(self.service()),
        };
        if self.random.random_bool(0.6) {
            return Fault::Kill(target);
        }
        Fault::Pause(target, self.past_every_limit_or(8))
    }

    fn network(&mut self) -> Option<Fault> {
        let link = match (self.has_store_server, self.has_broker_server) {
            (true, true) if self.random.random_bool(0.4) => Link::Broker,
            (false, true) => Link::Broker,
            (true, _) => Link::Store(self.service()),
            (false, false) => return None,
        };
        let kinds = if link == Link::Broker { 4 } else { 6 };
        let (trouble, time) = match self.random.random_range(0..kinds) {
            0 => (Trouble::Cut, self.seconds(1, 10)),
            1 => (Trouble::Delay, self.seconds(3, 10)),
            2 => (Trouble::HalfOpen, self.past_every_limit_or(10)),
            3 => (Trouble::Forget, Duration::ZERO),
            _ => (Trouble::LostCommit, self.seconds(1, 3)),
        };
        Some(Fault::Network(link, trouble, time))
    }

    fn lock(&mut self) -> Fault {
        match self.has_store_server {
            true => Fault::HoldLock(self.seconds(2, 15)), // PostgreSQL's appends wait for 10 s
            false if self.random.random_bool(0.5) => Fault::ReadLong(Duration::from_secs(10)),
            false => Fault::HoldLock(Duration::from_secs(1)),
        }
    }

    fn service(&mut self) -> usize {
        self.random.random_range(0..self.services)
    }

    fn seconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.random.random_range(least..=most))
    }

    /// Past every lease and session time-out now and then.
    fn past_every_limit_or(&mut self, most: u64) -> Duration {
        if self.random.random_range(0..5) == 0 { Duration::from_secs(30) } else { self.seconds(1, most) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn kinds(has_store_server: bool, has_broker_server: bool) -> BTreeSet<&'static str> {
        let storm = schedule(7, Duration::from_secs(3_600), 6, has_store_server, has_broker_server);
        storm.iter().map(|(_, fault)| fault.kind()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_storm_and_another_seed_another() {
        let storm = |seed| schedule(seed, Duration::from_secs(600), 6, true, true);
        assert_eq!(storm(7), storm(7));
        assert_ne!(storm(7), storm(8));
    }

    #[test]
    fn a_long_storm_has_every_kind_that_its_servers_allow() {
        let all = kinds(true, true);
        assert_eq!(all.len(), 28, "{all:?}");
        let calm = kinds(false, false);
        let of_servers = |kind: &&&str| kind.contains("PostgreSQL") || kind.contains("Kafka");
        assert!(!calm.iter().any(|kind| of_servers(&kind)) && calm.contains("long readers"), "{calm:?}");
    }
}
