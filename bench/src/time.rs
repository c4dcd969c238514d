//! Business processes and time: a process manager (X1), and timers: how late they are (W1), whether many that are pending slow down
//! what fires (W2), firing (W3) and scheduling (W4). Each on PostgreSQL and, with an s, on SQLite, beside code without a framework
//! that writes the same rows.

mod store;
mod checkout;
mod checkout_raw;
mod reminders;
mod reminders_raw;

use crate::contest::{
    Bound, Contest, Entry, FACTSTREAM, MEMORY_UNDER_LOAD, Measure, Run, Servers, Size, Target,
};

const RAW_BATCHES: &str = "raw, batches of 500";
const RAW_UNNEST: &str = "raw, 500 in a statement";
const RAW_500: &str = "raw, 500 in a transaction";
const ELSEWHERE: &str = "factstream, set by another process";
const FEW_PENDING: &str = "with 1,000 pending";
const LATENESS_MICROS: f64 = 300e3;

const fn late(entry: &'static str) -> Target {
    Target { entry, measure: Measure::P99, bound: Bound::Within(LATENESS_MICROS) }
}

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        name: "X1",
        what: "PostgreSQL, process: state, command and timer for each input",
        unit: "inputs/s",
        size: Size { quick: 5_000, full: 50_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: RAW_BATCHES, run: Run::Task(|place| Box::pin(checkout_raw::postgres(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(checkout::run(place))) },
        ],
        targets: &[Target::rate(0.6, RAW_BATCHES), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "X1s",
        what: "SQLite, process: the same",
        unit: "inputs/s",
        size: Size { quick: 5_000, full: 50_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry { name: RAW_BATCHES, run: Run::Task(|place| Box::pin(checkout_raw::sqlite(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(checkout::run(place))) },
        ],
        targets: &[Target::rate(0.6, RAW_BATCHES), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "W1",
        what: "PostgreSQL, a timer in an idle service: due to committed",
        unit: "",
        size: Size { quick: 10, full: 60 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: ELSEWHERE, run: Run::Task(|place| Box::pin(reminders::lateness(place, true))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::lateness(place, false))) },
        ],
        targets: &[late(ELSEWHERE), late(FACTSTREAM)],
    },
    Contest {
        name: "W1s",
        what: "SQLite, the same",
        unit: "",
        size: Size { quick: 10, full: 60 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry { name: ELSEWHERE, run: Run::Task(|place| Box::pin(reminders::lateness(place, true))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::lateness(place, false))) },
        ],
        targets: &[late(ELSEWHERE), late(FACTSTREAM)],
    },
    Contest {
        name: "W2",
        what: "PostgreSQL, timers that fire with 1 M pending",
        unit: "timers/s",
        size: Size { quick: 100_000, full: 1_000_000 },
        servers: Servers::POSTGRES,
        prepare: Some(Run::Task(|place| Box::pin(reminders::prepare(place)))),
        entries: &[
            Entry { name: FEW_PENDING, run: Run::Task(|place| Box::pin(reminders::fire_beside_few(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::fire_beside_many(place))) },
        ],
        targets: &[Target::rate(0.95, FEW_PENDING)],
    },
    Contest {
        name: "W2s",
        what: "SQLite, the same",
        unit: "timers/s",
        size: Size { quick: 100_000, full: 1_000_000 },
        servers: Servers::NONE,
        prepare: Some(Run::Task(|place| Box::pin(reminders::prepare(place)))),
        entries: &[
            Entry { name: FEW_PENDING, run: Run::Task(|place| Box::pin(reminders::fire_beside_few(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::fire_beside_many(place))) },
        ],
        targets: &[Target::rate(0.95, FEW_PENDING)],
    },
    Contest {
        name: "W3",
        what: "PostgreSQL, timers that fire",
        unit: "timers/s",
        size: Size { quick: 5_000, full: 50_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry {
                name: RAW_BATCHES,
                run: Run::Task(|place| Box::pin(reminders_raw::fire_on_postgres(place))),
            },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::fire_all(place))) },
        ],
        targets: &[Target::rate(0.6, RAW_BATCHES), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "W3s",
        what: "SQLite, timers that fire",
        unit: "timers/s",
        size: Size { quick: 5_000, full: 50_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry {
                name: RAW_BATCHES,
                run: Run::Task(|place| Box::pin(reminders_raw::fire_on_sqlite(place))),
            },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::fire_all(place))) },
        ],
        targets: &[Target::rate(0.6, RAW_BATCHES), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "W4",
        what: "PostgreSQL, timers that are set, 500 in a transaction",
        unit: "timers/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry {
                name: RAW_UNNEST,
                run: Run::Task(|place| Box::pin(reminders_raw::schedule_on_postgres(place))),
            },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::schedule(place))) },
        ],
        targets: &[Target::p50(1.5, RAW_UNNEST), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "W4s",
        what: "SQLite, the same",
        unit: "timers/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry {
                name: RAW_500,
                run: Run::Task(|place| Box::pin(reminders_raw::schedule_on_sqlite(place))),
            },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(reminders::schedule(place))) },
        ],
        targets: &[Target::p50(1.5, RAW_500), Target::memory(MEMORY_UNDER_LOAD)],
    },
];
