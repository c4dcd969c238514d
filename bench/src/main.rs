//! The benchmark: factstream beside raw code that does the same with no framework, in one run on one machine.
//!
//! A [`contest`] has several entries: raw ones, factstream's, and other frameworks'. [`rounds`] runs them in turns, each run in
//! a process of its own, so that its memory is its own and whatever else the machine does meets all of them; [`report`] prints
//! medians, ratios and what they are held against. `workload` is what all of them do, and `commands` how factstream does it; `sqlite`, `postgres`, `kafka`, `time`, `process`
//! and `system` are the contests.

mod figures;
mod workload;
mod commands;
mod contest;
mod sqlite;
mod postgres;
mod kafka;
mod time;
mod process;
mod system;
mod contests;
mod rounds;
mod report;

use clap::{Args, Parser, Subcommand};
use contest::{Outcome, Place, Run, Scale};
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(not(target_env = "msvc"))]
use tikv_jemallocator::Jemalloc;

/// That of `orders`, for raw code as well.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// What a run may fail with: its text says what happened.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How fast factstream is, beside code without a framework that does the same
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    bench: Bench,
}

#[derive(Args)]
struct Bench {
    /// Smaller and fewer: some minutes
    #[arg(long)]
    quick: bool,
    /// Only the contests whose names begin with this, for example S1 or P; may be said several times
    #[arg(long)]
    only: Vec<String>,
    /// Rounds of each contest
    #[arg(long)]
    rounds: Option<usize>,
    /// Write every figure here as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Fail when a ratio is below 0.7 of its target: for continuous integration
    #[arg(long)]
    guard: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Whether the memory of `orders serve` stays flat while it takes 50 orders a second
    Soak {
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
    },
    /// What the benchmark starts as processes of its own
    #[command(hide = true)]
    Entry {
        contest: String,
        entry: String,
        #[command(flatten)]
        place: Place,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.part {
        Some(Part::Entry { contest, entry, place }) => run_entry(&contest, &entry, &place),
        Some(Part::Soak { minutes }) => process::soak::run(minutes).map(|()| ExitCode::SUCCESS),
        None => bench(&cli.bench),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_entry(contest: &str, entry: &str, place: &Place) -> Result<ExitCode, Failed> {
    let run = contests::find(contest, entry)?;
    let figures = match run {
        Run::Task(run) => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(run(place.clone()))?
        }
        Run::Thread(run) => run(place)?,
    };
    println!("{}", serde_json::to_string(&figures.with_peak_memory()?)?);
    Ok(ExitCode::SUCCESS)
}

fn bench(args: &Bench) -> Result<ExitCode, Failed> {
    let scale = if args.quick { Scale::Quick } else { Scale::Full };
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| name.starts_with(only));
    let mut results = rounds::run(args.rounds, scale, wanted)?;
    println!("{}", report::table(&results));
    if let Some(file) = &args.json {
        std::fs::write(file, report::json(&results)?)?;
    }
    if !args.guard {
        println!("{}", report::verdict(&report::below(&results, 1.0), "every target is met"));
        return Ok(ExitCode::SUCCESS);
    }
    let is_slow = |outcome: &Outcome| !report::below(std::slice::from_ref(outcome), report::GUARD).is_empty();
    results.retain(is_slow);
    if !results.is_empty() {
        // Whatever else the machine did then is hardly there again; a change that made it slow is.
        let again: Vec<&str> = results.iter().map(|outcome| outcome.contest.name).collect();
        eprintln!(
            "{} once more, for {}",
            again.join(", "),
            report::below(&results, report::GUARD).join("; ")
        );
        results = rounds::run(args.rounds, scale, |name| again.contains(&name))?;
        println!("{}", report::table(&results));
        results.retain(is_slow);
    }
    let slow = report::below(&results, report::GUARD);
    println!("{}", report::verdict(&slow, "at least 0.7 of every target's ratio is reached"));
    Ok(if slow.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
