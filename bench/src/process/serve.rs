//! `orders serve` on an embedded store that is there already: a log whose events are all handled, as after a clean stop.

use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times, memory_bytes};
use crate::sqlite;
use factstream_tests::client::Client;
use factstream_tests::process::Server;
use orders::app::{self, Config};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const PUBLISHED: &str = "INSERT INTO fs_checkpoints (handler, position, updated_at)
    VALUES ('relay', ?1, '2026-01-01T00:00:00.000000Z')
    ON CONFLICT (handler) DO UPDATE SET position = excluded.position";
const STARTS: u32 = 10;
const READY_WITHIN: Duration = Duration::from_secs(30);
/// M1 looks after this long without load.
const IDLE: Duration = Duration::from_secs(3);

fn store(place: &Place) -> String {
    format!("sqlite://{}", place.folder.join("orders.db").display())
}

/// A store of the whole orders system, with two events an order, published and folded.
pub(crate) async fn prepare(place: Place) -> Result<Figures, Failed> {
    let config = Config { store: store(&place), ..Config::default() };
    drop(app::open(config.clone()).await?);
    let began = Instant::now();
    fill(&place)?;
    app::open(config).await?.rebuild("order_projections", |_| {}).await?;
    Ok(Figures::rate(place.size * 2, began))
}

fn fill(place: &Place) -> Result<(), Failed> {
    let connection = sqlite::open(&place.folder.join("orders.db"))?;
    sqlite::fill(&connection, place.size)?;
    connection.execute(PUBLISHED, [(place.size * 2).cast_signed()])?;
    Ok(())
}

fn serve(place: &Place) -> Result<Command, Failed> {
    let mut command = Command::new(binary()?);
    command.args(["serve", "--store", &store(place), "--listen", "127.0.0.1:0"]);
    Ok(command)
}

/// The `orders` that was built with this program.
pub(super) fn binary() -> Result<PathBuf, Failed> {
    let orders = std::env::current_exe()?.with_file_name("orders");
    match orders.exists() {
        true => Ok(orders),
        false => {
            Err("the binary `orders` is missing beside this one; build it: cargo build --release -p orders"
                .into())
        }
    }
}

/// From the start of the process until it has said its address and says that it is ready.
pub(crate) fn ready(place: &Place) -> Result<Figures, Failed> {
    let (mut times, mut peak) = (Times::new(), 0);
    for _ in 0..STARTS {
        let mut command = serve(place)?;
        let began = Instant::now();
        let server = Server::spawn(&mut command)?;
        let client = Client::new(&server.url);
        while client.get("/readyz")?.status != 200 {
            if began.elapsed() > READY_WITHIN {
                return Err("orders serve does not become ready".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        times.record(began.elapsed());
        peak = peak.max(memory_bytes(&format!("/proc/{}/status", server.pid()), "VmHWM:")?);
        let position = client.status()["position"].as_u64();
        if position != Some(place.size * 2) {
            return Err(format!("it is ready, and tells the position {position:?}").into());
        }
        server.stop();
    }
    Ok(Figures { peak_memory_bytes: peak, ..Figures::times(&times) })
}

/// What a process has in memory when nothing is asked of it.
pub(crate) fn idle(place: &Place) -> Result<Figures, Failed> {
    let server = Server::spawn(&mut serve(place)?)?;
    std::thread::sleep(IDLE);
    let resident = memory_bytes(&format!("/proc/{}/status", server.pid()), "VmRSS:")?;
    server.stop();
    Ok(Figures { per_second: 0.0, latency: None, peak_memory_bytes: resident })
}
