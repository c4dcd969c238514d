//! SQLite: commands (S1, S2; many in a call, P5s), rebuilds (S3) and commands on a long log (P4s), beside plain rusqlite with the same tables and
//! durable commits.

mod append;
mod rebuild;
mod stored;

pub(crate) use append::{TABLES, open};
pub(crate) use rebuild::fill;

use crate::contest::{
    Contest, Entry, FACTSTREAM, MEMORY_OF_REBUILD, MEMORY_UNDER_LOAD, Run, Servers, Size, Target,
};

const RAW_100: &str = "raw, 100 inserts a commit";
const RAW_1: &str = "raw, 1 insert a commit";
const RAW_PAGES: &str = "raw, pages of 1,000";
const FEW_STORED: &str = "with 100,000 events stored";

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        name: "S1",
        what: "SQLite, commands of 64 callers",
        unit: "commands/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry { name: RAW_100, run: Run::Thread(|place| append::raw(place, 100)) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::commands(place, 64))) },
        ],
        targets: &[Target::rate(0.5, RAW_100), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "S2",
        what: "SQLite, commands of 1 caller",
        unit: "commands/s",
        size: Size { quick: 3_000, full: 15_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry { name: RAW_1, run: Run::Thread(|place| append::raw(place, 1)) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::commands(place, 1))) },
        ],
        targets: &[Target::rate(0.8, RAW_1), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "S3",
        what: "SQLite, rebuild of order_projections",
        unit: "events/s",
        size: Size { quick: 250_000, full: 500_000 },
        servers: Servers::NONE,
        prepare: Some(Run::Task(|place| Box::pin(rebuild::prepare(place)))),
        entries: &[
            Entry { name: RAW_PAGES, run: Run::Thread(rebuild::raw) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(rebuild::rebuild(place))) },
        ],
        targets: &[Target::rate(4.0, RAW_PAGES), Target::memory(MEMORY_OF_REBUILD)],
    },
    Contest {
        name: "P4s",
        what: "SQLite, commands with 10 M events stored",
        unit: "commands/s",
        size: Size { quick: 1_000_000, full: 10_000_000 },
        servers: Servers::NONE,
        prepare: Some(Run::Task(|place| Box::pin(stored::prepare(place)))),
        entries: &[
            Entry { name: FEW_STORED, run: Run::Task(|place| Box::pin(stored::with_few(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(stored::with_many(place))) },
        ],
        targets: &[Target::rate(0.9, FEW_STORED)],
    },
    Contest {
        name: "P5s",
        what: "SQLite, commands of 1 caller, 100 in a call",
        unit: "commands/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::NONE,
        prepare: None,
        entries: &[
            Entry { name: RAW_100, run: Run::Thread(|place| append::raw(place, 100)) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::in_bulk(place, 100))) },
        ],
        targets: &[Target::rate(0.8, RAW_100), Target::memory(MEMORY_UNDER_LOAD)],
    },
];
