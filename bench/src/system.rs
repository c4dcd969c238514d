//! The whole orders system (E1): from an order that is placed to its row, paid, reserved and shipped, beside a program that writes the
//! same events and rows with nothing in between.

mod factstream;
mod raw_sqlite;

use crate::contest::{
    Bound, Contest, Entry, FACTSTREAM, MEMORY_UNDER_LOAD, Measure, Run, Servers, Size, Target,
};

/// As many place orders side by side.
const CALLERS: u64 = 32;
const SKUS: u64 = 100;
const RAW_32: &str = "raw, 32 orders a commit";
const ROW_VISIBLE_MICROS: f64 = 20e3;

pub(crate) const CONTESTS: &[Contest] = &[Contest {
    name: "E1",
    what: "the orders system on SQLite, 32 callers, placed to settled; command to row",
    unit: "orders/s",
    size: Size { quick: 2_000, full: 10_000 },
    servers: Servers::NONE,
    prepare: None,
    entries: &[
        Entry { name: RAW_32, run: Run::Thread(raw_sqlite::run) },
        Entry { name: FACTSTREAM, run: Run::Task(|place| Box::pin(factstream::run(place))) },
    ],
    targets: &[
        Target::rate(0.4, RAW_32),
        Target { entry: FACTSTREAM, measure: Measure::P50, bound: Bound::Within(ROW_VISIBLE_MICROS) },
        Target::memory(MEMORY_UNDER_LOAD),
    ],
}];
