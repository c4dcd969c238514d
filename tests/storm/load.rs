//! The clients: each places orders without end and keeps a ledger outside the system, on disk before an operation counts as
//! acknowledged.

use crate::system::System;
use factstream_tests::client::order;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// SKUs in stock.
pub(crate) const SKUS: u32 = 10;

/// Between two orders of a client: less than the services can do, so that what settles at the end is what faults held up.
const PAUSE: Duration = Duration::from_millis(40);
/// How long a storm may be with that pause. In a longer one it is longer, too: each release that is rolled out reads the whole log.
const SHORT: Duration = Duration::from_secs(180);
/// Before the same is asked again.
const AGAIN: Duration = Duration::from_millis(20);

/// What one client knows.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Key to order, of those that were acknowledged.
    pub(crate) acknowledged: BTreeMap<String, String>,
    /// Keys whose outcome is not known: none of the events, or all of them once.
    pub(crate) unknown: Vec<String>,
    /// Attempts, with or without an answer.
    pub(crate) attempts: u64,
    /// When orders were acknowledged.
    pub(crate) times: Vec<Instant>,
}

/// The same body whenever a key is used.
pub(crate) fn body(n: u64) -> serde_json::Value {
    let customer = match n % 20 {
        7 => "declined-1",
        13 | 14 => "slow-15", // pays just when the order is due
        _ => "c-1",
    };
    order(customer, &format!("SKU-{}", n % u64::from(SKUS)), 1 + (n % 3) as u32)
}

/// Starts a client.
pub(crate) fn place(
    number: usize,
    system: Arc<System>,
    stop: Arc<AtomicBool>,
    folder: &Path,
    length: Duration,
) -> JoinHandle<Ledger> {
    let pause = if length > SHORT { PAUSE.mul_f64(2.0 * length.div_duration_f64(SHORT)) } else { PAUSE };
    let file = folder.join(format!("client-{number}.ledger"));
    thread::spawn(move || {
        let mut file = File::create(file).expect("the ledger can be made");
        let mut ledger = Ledger::default();
        for n in 0_u64.. {
            let key = format!("client-{number}-{n}");
            let mut is_done = false;
            while !is_done {
                ledger.attempts += 1;
                let any = ledger.attempts as usize;
                match system.client("order", any).post("/orders", &body(n), Some(&key)) {
                    Ok(answer) if answer.status == 201 => {
                        let order_id =
                            answer.body["order_id"].as_str().expect("an order has an id").to_owned();
                        writeln!(file, "{key} {order_id}").and_then(|()| file.sync_data()).expect("ledger");
                        ledger.acknowledged.insert(key.clone(), order_id);
                        ledger.times.push(Instant::now());
                        is_done = true;
                    }
                    Ok(answer) if answer.status == 503 => thread::sleep(AGAIN),
                    Ok(answer) => panic!("{key}: {answer:?}"),
                    Err(_) => thread::sleep(AGAIN),
                }
                if !is_done && stop.load(Ordering::Relaxed) {
                    ledger.unknown.push(key.clone());
                    return ledger;
                }
            }
            if stop.load(Ordering::Relaxed) {
                return ledger;
            }
            thread::sleep(pause);
        }
        ledger
    })
}
