//! What is measured: the contests, who takes part in each, and what is held against what.

use crate::Failed;
use crate::figures::Figures;
use clap::Args;
use futures_util::future::BoxFuture;
use std::path::PathBuf;

/// One question of the benchmark.
pub(crate) struct Contest {
    /// Its name in `docs/performance.md`, for example S1.
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    /// How much each run does, in the contest's own measure.
    pub(crate) size: Size,
    pub(crate) servers: Servers,
    /// Makes what all entries read, once.
    pub(crate) prepare: Option<Run>,
    pub(crate) entries: &'static [Entry],
    pub(crate) targets: &'static [Target],
}

pub(crate) struct Size {
    pub(crate) quick: u64,
    pub(crate) full: u64,
}

impl Size {
    /// There is no such run: it would take too long.
    pub(crate) const LEFT_OUT: u64 = 0;

    pub(crate) fn at(&self, scale: Scale) -> u64 {
        match scale {
            Scale::Quick => self.quick,
            Scale::Full => self.full,
        }
    }
}

/// The servers that a contest needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Servers {
    pub(crate) postgres: bool,
    pub(crate) kafka: bool,
}

impl Servers {
    pub(crate) const NONE: Self = Self { postgres: false, kafka: false };
    pub(crate) const POSTGRES: Self = Self { postgres: true, kafka: false };
    pub(crate) const BOTH: Self = Self { postgres: true, kafka: true };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Quick,
    Full,
}

/// Who takes part.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) run: Run,
}

/// Peers: other frameworks, which have to be built before.
pub(crate) const SPRING: &str = "Spring Kafka, inbox over JDBC";
pub(crate) const CQRS_ES: &str = "cqrs-es, postgres-es";
pub(crate) const DISINTEGRATE: &str = "disintegrate, disintegrate-postgres";
/// The environment variables that say where they are.
pub(crate) const SPRING_JAR: &str = "FACTSTREAM_BENCH_SPRING";
pub(crate) const PEERS: &str = "FACTSTREAM_BENCH_PEERS";

impl Entry {
    /// Whether all that it needs is there.
    pub(crate) fn takes_part(&self) -> bool {
        self.built_at().is_none_or(|variable| std::env::var_os(variable).is_some())
    }

    /// The variable that says where a peer is; `None` for what is built with the benchmark.
    fn built_at(&self) -> Option<&'static str> {
        match self.name {
            SPRING => Some(SPRING_JAR),
            CQRS_ES | DISINTEGRATE => Some(PEERS),
            _ => None,
        }
    }
}

/// How a run is done: as a task of a runtime with two threads, or as plain blocking code.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Task(fn(Place) -> BoxFuture<'static, Result<Figures, Failed>>),
    Thread(fn(&Place) -> Result<Figures, Failed>),
}

/// Where a run finds what it needs.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// How much to do.
    #[arg(long)]
    pub(crate) size: u64,
    /// The contest's folder, which all its runs share.
    #[arg(long)]
    pub(crate) folder: PathBuf,
    /// A database of the contest's, which all its runs share.
    #[arg(long, default_value = "")]
    pub(crate) shared: String,
    /// A database of this run's own, empty.
    #[arg(long, default_value = "")]
    pub(crate) database: String,
    /// The broker's URL.
    #[arg(long, default_value = "")]
    pub(crate) kafka: String,
}

/// What an entry has to reach.
pub(crate) struct Target {
    pub(crate) entry: &'static str,
    pub(crate) measure: Measure,
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Measure {
    Rate,
    P50,
    P99,
    PeakMemory,
}

pub(crate) enum Bound {
    /// At least so many times another entry's.
    AtLeast(f64, &'static str),
    /// At most so many times another entry's.
    AtMost(f64, &'static str),
    /// At most so much, in the measure's unit.
    Within(f64),
}

impl Target {
    pub(crate) const fn rate(factor: f64, against: &'static str) -> Self {
        Self { entry: FACTSTREAM, measure: Measure::Rate, bound: Bound::AtLeast(factor, against) }
    }

    pub(crate) const fn p50(factor: f64, against: &'static str) -> Self {
        Self { entry: FACTSTREAM, measure: Measure::P50, bound: Bound::AtMost(factor, against) }
    }

    pub(crate) const fn memory(bytes: f64) -> Self {
        Self { entry: FACTSTREAM, measure: Measure::PeakMemory, bound: Bound::Within(bytes) }
    }
}

/// The entry that has to reach the targets.
pub(crate) const FACTSTREAM: &str = "factstream";
/// M1: any load.
pub(crate) const MEMORY_UNDER_LOAD: f64 = 150e6;
/// M1: a rebuild of 1 M events.
pub(crate) const MEMORY_OF_REBUILD: f64 = 200e6;

pub(crate) const PREPARE: &str = "prepare";

/// A contest and, for each of its entries, the figures of each round.
pub(crate) struct Outcome {
    pub(crate) contest: &'static Contest,
    pub(crate) rounds: Vec<Vec<Figures>>,
}
