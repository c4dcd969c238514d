//! N1: the whole orders system on PostgreSQL and Kafka, each service in processes of its own, from the first order that is placed
//! until every one is shipped and all is folded. What more processes of each service bring depends on the cores that
//! there are; what they cost shows here.

use super::serve::binary;
use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use crate::postgres::connect;
use factstream_tests::client::{Client, order};
use factstream_tests::kafka;
use factstream_tests::process::Server;
use std::process::Command;
use std::time::{Duration, Instant};

const SERVICES: [&str; 3] = ["order", "inventory", "payment"];
const CALLERS: u64 = 16;
const SKUS: u64 = 100;
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn run(place: Place, processes: usize) -> Result<Figures, Failed> {
    let broker = kafka::fresh();
    let mut servers = Vec::new();
    for service in SERVICES.iter().cycle().take(SERVICES.len() * processes) {
        let mut command = Command::new(binary()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--service", service]);
        command.args(["--store", &place.database, "--broker", &broker]);
        servers.push((*service, Server::spawn(&mut command)?));
    }
    let clients = |service| {
        let of = servers.iter().filter(move |(name, _)| *name == service);
        of.map(|(_, server)| Client::new(&server.url)).collect::<Vec<_>>()
    };
    for sku in 0..SKUS {
        clients("inventory")[0].stock(&format!("SKU-{sku}"), 100_000_000);
    }
    let began = Instant::now();
    let times = place_all(&clients("order"), place.size)?;
    wait_until_shipped(&place, began).await?;
    let figures = Figures::rate(place.size, began).with_latency(&times);
    let mut peak_memory_bytes = 0;
    for (_, server) in servers {
        let status = format!("/proc/{}/status", server.pid());
        peak_memory_bytes = peak_memory_bytes.max(crate::figures::memory_bytes(&status, "VmHWM:")?);
        server.stop();
    }
    Ok(Figures { peak_memory_bytes, ..figures })
}

/// Callers side by side, each at one process.
fn place_all(clients: &[Client], orders: u64) -> Result<Times, Failed> {
    let place = |caller: u64| {
        let client = &clients[caller as usize % clients.len()];
        let mut times = Times::new();
        for number in (caller..orders).step_by(CALLERS as usize) {
            let body = order(&format!("customer-{}", number % 1_000), &format!("SKU-{}", number % SKUS), 1);
            let began = Instant::now();
            let placed = client.post("/orders", &body, None)?;
            if placed.status >= 300 {
                return Err(format!("an order was refused: {placed:?}").into());
            }
            times.record(began.elapsed());
        }
        Ok::<_, Failed>(times)
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || place(caller))).collect();
        let mut all = Times::new();
        for caller in callers {
            all.add(&caller.join().map_err(|_| "a caller panicked")??);
        }
        Ok(all)
    })
}

async fn wait_until_shipped(place: &Place, began: Instant) -> Result<(), Failed> {
    let client = connect(&place.database).await?;
    let sql = "SELECT count(*) FROM order_projections WHERE status = 'SHIPPED'";
    while client.query_one(sql, &[]).await?.get::<_, i64>(0) < place.size.cast_signed() {
        if began.elapsed() > PATIENCE {
            return Err("not every order is shipped in time".into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
