//! The storm: the whole system under faults that a seed decides, then a check of everything that was promised.
//!
//! `system` starts servers and services, `schedule` decides the faults and `faults` does them (`proxy`, `clock` and `small_disk` are its means),
//! `load` are the clients with their ledgers, `partner` what other teams publish, `worker` the harness's own handlers, `check`, `effects`, `compensation` and `revenue` the promises, `report` what is printed at the end. A
//! storm passes only if all settles within a deadline and every check holds.
//!
//! The checker itself is checked by sabotage: built with the feature `factstream-core/sabotage` and with
//! `FACTSTREAM_SABOTAGE` set, the storm succeeds only if it is caught.

mod cast;
mod schedule;
mod proxy;
mod clock;
mod small_disk;
mod effects;
mod compensation;
mod revenue;
mod system;
mod faults;
mod load;
mod worker;
mod partner;
mod check;
mod report;

use clap::{Parser, Subcommand};
use factstream_core::sabotage::{self, Sabotage};
use factstream_tests::pair::Pair;
use report::Report;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use system::System;

const CLIENTS: usize = 4;
/// How long nothing may move after the last fault before all is done: session time-outs, and a rebuild that begins.
const STAND_STILL_MAX: Duration = Duration::from_secs(120);
/// How long all may take to settle, on a slow machine: what has queued up.
const SETTLE_WITHIN: Duration = Duration::from_secs(600);
/// The same where something is broken on purpose and may never settle.
const SETTLE_SABOTAGED_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);
/// How often is looked whether anything moves: it reads whole tables.
const LOOK_FOR_MOVES: Duration = Duration::from_secs(5);

/// Prove the guarantees under faults
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// The same seed gives the same schedule of faults; a new one unless said
    #[arg(long)]
    seed: Option<u64>,
    /// How long it storms
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// What it runs on
    #[arg(long, default_value = "postgres+kafka", value_parser = pair)]
    pair: Pair,
}

/// What the harness starts as processes of its own.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Worker(worker::Worker),
}

fn pair(text: &str) -> Result<Pair, String> {
    match text {
        "sqlite+embedded" => Ok(Pair::SqliteEmbedded),
        "sqlite+kafka" => Ok(Pair::SqliteKafka),
        "postgres+embedded" => Ok(Pair::PostgresEmbedded),
        "postgres+kafka" => Ok(Pair::PostgresKafka),
        _ => Err("write sqlite+embedded, sqlite+kafka, postgres+embedded or postgres+kafka".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Part::Worker(worker)) = args.part {
        return work(worker);
    }
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("storm on {:?}, {} minutes, seed {seed}", args.pair, args.minutes);
    let storm = Storm::begin(&args, seed);
    // Whatever does not hold panics, and says what it is.
    let holds = catch_unwind(AssertUnwindSafe(|| storm.rage())).is_ok();
    if !holds {
        storm.system.kill_everything();
        storm.system.keep_store();
    }
    let is_as_it_should = match sabotage().map(Sabotage::name) {
        None => {
            println!("{} (seed {seed})", if holds { "every check holds" } else { "FAILED" });
            holds
        }
        Some(name) if holds => {
            println!(
                "sabotage {name} SURVIVED (seed {seed}): the checker has a hole, or the storm was too short"
            );
            false
        }
        Some(name) => {
            println!("sabotage {name} was caught (seed {seed})");
            true
        }
    };
    if is_as_it_should { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is broken on purpose.
fn sabotage() -> Option<Sabotage> {
    let sabotage = Sabotage::ALL.iter().copied().find(|sabotage| sabotage::is_on(*sabotage));
    let wanted = std::env::var("FACTSTREAM_SABOTAGE").unwrap_or_default();
    assert!(sabotage::BUILT_IN || wanted.is_empty(), "this build cannot be sabotaged");
    sabotage
}

fn work(worker: worker::Worker) -> ExitCode {
    let log = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(log).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.expect("a runtime can be made").block_on(worker::run(worker)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The system, and how it is to be treated.
struct Storm {
    system: Arc<System>,
    seed: u64,
    length: Duration,
}

impl Storm {
    fn begin(args: &Args, seed: u64) -> Self {
        let system = System::start(args.pair);
        for n in 0..load::SKUS {
            system.client("inventory", 0).stock(&format!("SKU-{n}"), 100_000_000);
        }
        Self { system, seed, length: Duration::from_secs_f64(args.minutes * 60.0) }
    }

    /// Panics with what does not hold.
    fn rage(&self) {
        let Self { system, seed, length } = self;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| load::place(number, Arc::clone(system), Arc::clone(&stop), folder.path(), *length))
            .collect();

        let mut report = strike(system, *seed, *length);
        stop.store(true, Ordering::Relaxed);
        let ledgers: Vec<load::Ledger> =
            clients.into_iter().map(|client| client.join().expect("a client ends by itself")).collect();
        report.settled = settle(system, &mut report);
        report.harmed = check::check(system, &ledgers);
        report.ends = compensation::check(&system.store);
        revenue::check(&system.store);
        system.heal_workers();
        report.redriven = settle(system, &mut report);
        system.stop_services();
        check::check_healed(system);
        print!("{}", report.text(&ledgers));
        println!("{}", system.partners.lock().expect("nobody panicked with it").summary());
    }
}

/// Waits until nothing is under way any more; how long that took.
fn settle(system: &System, report: &mut Report) -> Duration {
    let within = if sabotage().is_some() { SETTLE_SABOTAGED_WITHIN } else { SETTLE_WITHIN };
    let healed = Instant::now();
    let (mut moved, mut looked, mut under_way) = (healed, healed, String::new());
    while !system.is_settled() {
        if under_way.is_empty() || looked.elapsed() > LOOK_FOR_MOVES {
            let now_under_way = system.under_way();
            looked = Instant::now();
            if now_under_way != under_way {
                (moved, under_way) = (looked, now_under_way);
            }
        }
        if healed.elapsed() > within || moved.elapsed() > STAND_STILL_MAX {
            println!("{}", system.told());
            panic!(
                "not settled after {:?}, and nothing moves since {:?}:\n{}",
                healed.elapsed(),
                moved.elapsed(),
                system.under_way()
            );
        }
        report.aborted += system.revive();
        thread::sleep(LOOK); // the last look reads whole tables
    }
    healed.elapsed()
}

/// Does the faults of the schedule, and waits until the last has healed.
fn strike(system: &Arc<System>, seed: u64, length: Duration) -> Report {
    let (store, broker) = (system.has_store_server(), system.has_broker_server());
    let mut schedule = schedule::schedule(seed, length, cast::SERVICES.len(), store, broker);
    if let Some(sabotage) = sabotage() {
        schedule::aim_at(sabotage, &mut schedule, cast::SERVICES.len());
    }
    let begun = Instant::now();
    let (mut report, mut under_way) = (Report::default(), Vec::new());
    for (at, fault) in schedule {
        while begun.elapsed() < at {
            report.aborted += system.revive();
            thread::sleep(at.saturating_sub(begun.elapsed()).min(Duration::from_millis(200)));
        }
        println!("{:6.1} s  {fault}", begun.elapsed().as_secs_f64());
        under_way.push((fault, faults::strike(system, fault)));
    }
    for (fault, done) in under_way {
        while !done.is_finished() {
            report.aborted += system.revive();
            thread::sleep(LOOK);
        }
        let healed = done.join().expect("a fault heals");
        report.faults.extend(healed.map(|healed| (fault.kind(), healed)));
    }
    report
}
