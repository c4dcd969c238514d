//! PostgreSQL: commands (P1, P2; many in a call, P5), rebuilds (P3) and commands on a long log (P4), beside plain tokio-postgres with the same
//! tables and durable commits; P1 and P3 also beside other frameworks for Rust.

mod support;
mod append;
mod rebuild;
mod rebuild_raw;
mod stored;
mod peers;

pub(crate) use support::{Json, connect, fill, settle};

use crate::contest::{
    CQRS_ES, Contest, DISINTEGRATE, Entry, FACTSTREAM, MEMORY_OF_REBUILD, MEMORY_UNDER_LOAD, Run, Servers,
    Size, Target,
};

const RAW_64: &str = "raw, 64 connections, 1 insert a commit";
const RAW_UNNEST: &str = "raw, UNNEST of 100 on 1 connection";
const RAW_1: &str = "raw, 1 connection, 1 insert a commit";
const RAW_PAGES: &str = "raw, pages of 1,000";
const FEW_STORED: &str = "with 100,000 events stored";

pub(crate) const CONTESTS: &[Contest] = &[
    Contest {
        name: "P1",
        what: "PostgreSQL, commands of 64 callers",
        unit: "commands/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: RAW_64, run: Run::Task(|place| Box::pin(append::one_by_one(place, 64))) },
            Entry { name: RAW_UNNEST, run: Run::Task(|place| Box::pin(append::batches(place, 100))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::commands(place, 64))) },
            Entry { name: CQRS_ES, run: Run::Thread(|place| peers::run(place, "cqrs-es-commands")) },
            Entry {
                name: DISINTEGRATE,
                run: Run::Thread(|place| peers::run(place, "disintegrate-commands")),
            },
        ],
        targets: &[
            Target::rate(3.5, RAW_64),
            Target::rate(0.65, RAW_UNNEST),
            Target::memory(MEMORY_UNDER_LOAD),
        ],
    },
    Contest {
        name: "P2",
        what: "PostgreSQL, commands of 1 caller",
        unit: "commands/s",
        size: Size { quick: 2_000, full: 10_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: RAW_1, run: Run::Task(|place| Box::pin(append::one_by_one(place, 1))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::commands(place, 1))) },
        ],
        targets: &[Target::p50(1.3, RAW_1), Target::memory(MEMORY_UNDER_LOAD)],
    },
    Contest {
        name: "P3",
        what: "PostgreSQL, rebuild of order_projections",
        unit: "events/s",
        size: Size { quick: 50_000, full: 500_000 },
        servers: Servers::POSTGRES,
        prepare: Some(Run::Task(|place| Box::pin(rebuild::prepare(place)))),
        entries: &[
            Entry { name: RAW_PAGES, run: Run::Task(|place| Box::pin(rebuild_raw::rebuild(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(rebuild::rebuild(place))) },
            Entry { name: CQRS_ES, run: Run::Thread(|place| peers::run(place, "cqrs-es-rebuild")) },
            Entry { name: DISINTEGRATE, run: Run::Thread(|place| peers::run(place, "disintegrate-rebuild")) },
        ],
        targets: &[Target::rate(1.5, RAW_PAGES), Target::memory(MEMORY_OF_REBUILD)],
    },
    Contest {
        name: "P4",
        what: "PostgreSQL, commands with 10 M events stored",
        unit: "commands/s",
        size: Size { quick: 1_000_000, full: 10_000_000 },
        servers: Servers::POSTGRES,
        prepare: Some(Run::Task(|place| Box::pin(stored::prepare(place)))),
        entries: &[
            Entry { name: FEW_STORED, run: Run::Task(|place| Box::pin(stored::with_few(place))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(stored::with_many(place))) },
        ],
        targets: &[Target::rate(0.9, FEW_STORED)],
    },
    Contest {
        name: "P5",
        what: "PostgreSQL, commands of 1 caller, 100 in a call",
        unit: "commands/s",
        size: Size { quick: 20_000, full: 100_000 },
        servers: Servers::POSTGRES,
        prepare: None,
        entries: &[
            Entry { name: RAW_UNNEST, run: Run::Task(|place| Box::pin(append::batches(place, 100))) },
            Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(append::in_bulk(place, 100))) },
        ],
        targets: &[Target::rate(0.8, RAW_UNNEST), Target::memory(MEMORY_UNDER_LOAD)],
    },
];
