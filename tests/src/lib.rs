//! The harness of the end-to-end tests: real `orders` processes on a real file, a client, and a look into the tables with
//! plain SQL, so that the framework's own reading is not trusted.

pub mod process;
pub mod client;
pub mod ledger;
pub mod postgres;
pub mod pgbouncer;
mod kafka_jars;
pub mod kafka_tools;
pub mod kafka;
pub mod pair;
pub mod peers;
#[cfg(test)]
mod house;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The folder that everything is built into: Cargo marks it as a cache.
///
/// # Panics
/// When this program was not built by Cargo.
pub fn target_folder() -> PathBuf {
    let here = std::env::current_exe().expect("a program knows its own file");
    let target = here.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.expect("this program runs in Cargo's target folder").to_owned()
}

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within a minute.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "this did not come about: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Free ports of this machine that nobody is given by chance while their server is down: below those of outgoing
/// connections.
pub fn lasting_ports<const N: usize>() -> [u16; N] {
    let mut taken: Vec<(u16, TcpListener)> = Vec::new();
    while taken.len() < N {
        let port = rand::random_range(20_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            taken.push((port, listener)); // held until all are found, so that they differ
        }
    }
    std::array::from_fn(|at| taken[at].0)
}
