//! The storm: the whole system under faults that a seed decides, then a check of everything that was promised.
//!
//! `system` starts servers and services and does faults to them, `load` are the clients with their ledgers, `schedule` the
//! faults, `check` the promises. A storm passes only if all settles within a deadline and every check holds.

mod schedule;
mod system;
mod load;
mod check;

use clap::Parser;
use factstream_tests::pair::Pair;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use system::System;

const CLIENTS: usize = 4;
/// How long all may take to settle after the last fault: session time-outs, and what has queued up.
const SETTLE_WITHIN: Duration = Duration::from_secs(180);

/// Prove the guarantees under faults
#[derive(Parser)]
struct Args {
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

fn pair(text: &str) -> Result<Pair, String> {
    match text {
        "sqlite+embedded" => Ok(Pair::SqliteEmbedded),
        "sqlite+kafka" => Ok(Pair::SqliteKafka),
        "postgres+embedded" => Ok(Pair::PostgresEmbedded),
        "postgres+kafka" => Ok(Pair::PostgresKafka),
        _ => Err("write sqlite+embedded, sqlite+kafka, postgres+embedded or postgres+kafka".to_owned()),
    }
}

fn main() {
    let Args { seed, minutes, pair } = Args::parse();
    let seed = seed.unwrap_or_else(rand::random);
    println!("storm on {pair:?}, {minutes} minutes, seed {seed}");
    let system = System::start(pair);
    for n in 0..load::SKUS {
        let body = serde_json::json!({ "sku": format!("SKU-{n}"), "quantity": 100_000_000 });
        let stocked = system.client("inventory", 0).post("/inventory", &body, None).expect("an answer");
        assert!(stocked.status < 300, "{stocked:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| load::place(number, Arc::clone(&system), Arc::clone(&stop), folder.path()))
        .collect();

    let faults = strike(&system, seed, Duration::from_secs_f64(minutes * 60.0));
    stop.store(true, Ordering::Relaxed);
    let ledgers: Vec<load::Ledger> =
        clients.into_iter().map(|client| client.join().expect("a client ends by itself")).collect();
    let healed = Instant::now();
    while !system.is_settled() {
        assert!(
            healed.elapsed() < SETTLE_WITHIN,
            "seed {seed}: not settled within {SETTLE_WITHIN:?}:\n{}",
            system.told()
        );
        thread::sleep(Duration::from_millis(100));
    }
    let settled = healed.elapsed();
    system.stop_services();
    check::check(&system, &ledgers);

    let acknowledged: usize = ledgers.iter().map(|ledger| ledger.acknowledged.len()).sum();
    let attempts: u64 = ledgers.iter().map(|ledger| ledger.attempts).sum();
    println!("{acknowledged} orders acknowledged in {attempts} attempts; faults: {faults:?}");
    println!("settled {settled:.1?} after the last fault; every check holds (seed {seed})");
}

/// Does the faults of the schedule, waits until the last has healed, and counts them by kind.
fn strike(system: &Arc<System>, seed: u64, length: Duration) -> BTreeMap<&'static str, u32> {
    let (store, broker) = (system.has_store_server(), system.has_broker_server());
    let schedule = schedule::schedule(seed, length, system::SERVICES.len(), store, broker);
    let begun = Instant::now();
    let (mut faults, mut under_way) = (BTreeMap::new(), Vec::new());
    for (at, fault) in schedule {
        thread::sleep(at.saturating_sub(begun.elapsed()));
        println!("{:6.1} s  {fault}", begun.elapsed().as_secs_f64());
        under_way.extend(system.strike(fault));
        *faults.entry(fault.kind()).or_default() += 1;
    }
    for fault in under_way {
        fault.join().expect("a fault heals");
    }
    faults
}
