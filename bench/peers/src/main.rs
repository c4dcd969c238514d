//! What peers from crates.io do in factstream's benchmark: cqrs-es with postgres-es, and disintegrate with
//! disintegrate-postgres, each as its documentation says, on a database of its own.
//!
//! `bench` starts this as a process for each run and reads one line of JSON from it. `workload` is what all entries do, the
//! same as in `bench/src/workload.rs`; `database` and `projection` are what they share; `cqrs` is cqrs-es, `decisions` is
//! disintegrate, which calls a command so. Every run counts what it wrote, and fails unless all of it is there.

mod figures;
mod workload;
mod database;
mod projection;
mod cqrs;
mod decisions;

use clap::{Parser, ValueEnum};
use figures::Figures;
use std::process::ExitCode;

/// What a run may fail with: its text says what happened.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A peer of factstream, measured at what factstream's benchmark measures
#[derive(Parser)]
struct Cli {
    entry: Entry,
    /// How many orders factstream does; here it is a tenth of them, and 5,000 at most
    #[arg(long)]
    size: u64,
    /// The URL of an empty database, for example postgres://user@127.0.0.1:5432/name
    #[arg(long)]
    database: String,
}

/// One peer at one contest.
#[derive(Clone, Copy, ValueEnum)]
enum Entry {
    CqrsEsCommands,
    CqrsEsRebuild,
    DisintegrateCommands,
    DisintegrateRebuild,
}

/// A peer does one order where factstream does ten, and at most so many, which take it long enough: what is told is a rate. With
/// fewer events stored it has rather less to do for each of them.
const PART: u64 = 10;
const ORDERS_MAX: u64 = 5_000;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// On a runtime with as many threads as the benchmark's own entries have.
fn run(cli: &Cli) -> Result<String, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(cli))?;
    Ok(serde_json::to_string(&figures.with_peak_memory()?)?)
}

async fn measure(cli: &Cli) -> Result<Figures, Failed> {
    let orders = (cli.size / PART).clamp(1, ORDERS_MAX);
    match cli.entry {
        Entry::CqrsEsCommands => cqrs::commands(&cli.database, orders).await,
        Entry::CqrsEsRebuild => cqrs::rebuild(&cli.database, orders).await,
        Entry::DisintegrateCommands => decisions::commands(&cli.database, orders).await,
        Entry::DisintegrateRebuild => decisions::rebuild(&cli.database, orders).await,
    }
}
