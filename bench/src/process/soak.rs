//! M1 over time: whether the memory of `orders serve` stays flat while it works.
//!
//! Not a contest: it takes as long as it is told to. The first half warms caches up; the second is held against itself.

use super::serve::binary;
use crate::Failed;
use crate::figures::memory_bytes;
use factstream_tests::client::{Client, order};
use factstream_tests::process::Server;
use std::process::Command;
use std::time::{Duration, Instant};

/// 50 orders a second, each with what follows from it: reserved, paid, shipped, folded into its row.
const BETWEEN: Duration = Duration::from_millis(20);
const SKUS: u64 = 100;
const LOOK: Duration = Duration::from_secs(10);
/// How much higher the last quarter may be than the third: the allocator's grain, not a leak.
const FLAT: f64 = 1.05;

/// Places orders for so many minutes; fails when the memory grows.
pub(crate) fn run(minutes: f64) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(factstream_tests::target_folder())?;
    let mut command = Command::new(binary()?);
    let store = format!("sqlite://{}", folder.path().join("orders.db").display());
    command.args(["serve", "--store", &store, "--listen", "127.0.0.1:0"]);
    let server = Server::spawn(&mut command)?;
    let client = Client::new(&server.url);
    for sku in 0..SKUS {
        client.stock(&sku_name(sku), 100_000_000);
    }
    let samples = load(&client, server.pid(), Duration::from_secs_f64(minutes * 60.0))?;
    let events = client.status()["position"].as_u64().unwrap_or_default();
    server.stop();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    for sample in samples.chunks(samples.len().div_ceil(12)) {
        let (minute, _) = sample[0];
        println!("from minute {minute:5.1}: {:6.1} MB", megabytes(median(sample)));
    }
    let quarter = samples.len() / 4;
    let [third, last] = [2, 3].map(|number| median(&samples[number * quarter..(number + 1) * quarter]));
    let growth = last as f64 / third as f64;
    println!("{events} events; the last quarter has {growth:.3} x the third (<= {FLAT})");
    if growth > FLAT { Err("the memory of orders serve grows".into()) } else { Ok(()) }
}

fn sku_name(number: u64) -> String {
    format!("SKU-{number}")
}

/// Minutes since the beginning, and the resident bytes then.
fn load(client: &Client, pid: u32, length: Duration) -> Result<Vec<(f64, u64)>, Failed> {
    let (began, mut looked, mut samples) = (Instant::now(), Instant::now(), Vec::new());
    for number in 0.. {
        let due = BETWEEN * number;
        if due > length {
            break;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let body = order(&format!("customer-{}", number % 1_000), &sku_name(u64::from(number) % SKUS), 1);
        let placed = client.post("/orders", &body, None)?;
        if placed.status >= 300 {
            return Err(format!("an order was refused: {placed:?}").into());
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            let resident = memory_bytes(&format!("/proc/{pid}/status"), "VmRSS:")?;
            samples.push((began.elapsed().as_secs_f64() / 60.0, resident));
        }
    }
    match samples.len() {
        0..8 => Err("too short to tell: let it run for two minutes or more".into()),
        _ => Ok(samples),
    }
}

fn median(samples: &[(f64, u64)]) -> u64 {
    let mut bytes: Vec<u64> = samples.iter().map(|(_, bytes)| *bytes).collect();
    bytes.sort_unstable();
    bytes[bytes.len() / 2]
}
