//! What is told of processes in absolute figures: how soon one is ready (T1), the memory of one that idles (M1), and how long
//! a new user's first build takes (C1); and of the whole system in several processes (N1).

mod serve;
mod build;
mod several;
pub(crate) mod soak;

use crate::contest::{Bound, Contest, Entry, FACTSTREAM, Measure, Run, Servers, Size, Target};

const READY_MICROS: f64 = 150e3;
const BUILD_MICROS: f64 = 60e6;
const MEMORY_IDLE: f64 = 30e6;

const fn within(micros: f64) -> Target {
    Target { entry: FACTSTREAM, measure: Measure::P50, bound: Bound::Within(micros) }
}

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        name: "T1",
        what: "orders serve, embedded, an existing store: ready",
        unit: "",
        size: Size { quick: 50_000, full: 500_000 },
        servers: Servers::NONE,
        prepare: Some(Run::Task(|place| Box::pin(serve::prepare(place)))),
        entries: &[Entry { name: FACTSTREAM, run: Run::Thread(serve::ready) }],
        targets: &[within(READY_MICROS)],
    },
    Contest {
        name: "M1",
        what: "orders serve, embedded, idle: memory",
        unit: "",
        size: Size { quick: 50_000, full: 500_000 },
        servers: Servers::NONE,
        prepare: Some(Run::Task(|place| Box::pin(serve::prepare(place)))),
        entries: &[Entry { name: FACTSTREAM, run: Run::Thread(serve::idle) }],
        targets: &[Target::memory(MEMORY_IDLE)],
    },
    Contest {
        name: "N1",
        what: "all services on PostgreSQL and Kafka, placed to shipped",
        unit: "orders/s",
        size: Size { quick: Size::LEFT_OUT, full: 5_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: "1 process each", run: Run::Task(|place| Box::pin(several::run(place, 1))) },
            Entry { name: "3 processes each", run: Run::Task(|place| Box::pin(several::run(place, 3))) },
        ],
        targets: &[],
    },
    Contest {
        name: "C1",
        what: "cargo build of a new project, cold",
        unit: "",
        size: Size { quick: Size::LEFT_OUT, full: 1 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[Entry { name: FACTSTREAM, run: Run::Thread(build::cold) }],
        targets: &[within(BUILD_MICROS)],
    },
];
