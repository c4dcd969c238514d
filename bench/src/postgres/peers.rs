//! P1 and P3 by other frameworks from crates.io: `bench/peers`, a program of its own, where
//! [`crate::contest::Entry::takes_part`] finds it built. It does at most a tenth of what factstream does, and tells rates.

use crate::Failed;
use crate::contest::{PEERS, Place};
use crate::figures::Figures;
use std::process::{Command, Stdio};

/// Runs `bench/peers` on this run's own database. What it prints is what it measured; it has counted what it wrote.
pub(crate) fn run(place: &Place, entry: &str) -> Result<Figures, Failed> {
    let program = std::env::var_os(PEERS).ok_or("the program of bench/peers is not named")?;
    let output = Command::new(program)
        .args([entry, "--size", &place.size.to_string(), "--database", &place.database])
        .stderr(Stdio::inherit())
        .output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(format!("bench/peers failed at {entry}: {}", output.status).into()),
    }
}
