//! C1: the first build of a new user's project, which depends on factstream with its default features. What it takes to
//! download the dependencies depends on the network, and is not counted.

use crate::Failed;
use crate::contest::Place;
use crate::figures::{Figures, Times};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const MAIN: &str = r#"use factstream::{App, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let app = App::open("sqlite://first.db").await?;
    println!("{} events", app.head().await?);
    Ok(())
}
"#;

pub(crate) fn cold(place: &Place) -> Result<Figures, Failed> {
    let project = tempfile::tempdir_in(&place.folder)?;
    make(project.path())?;
    if !cargo(project.path(), &["fetch", "--quiet", "--offline"])? {
        must(cargo(project.path(), &["fetch", "--quiet"])?)?;
    }
    let began = Instant::now();
    must(cargo(project.path(), &["build", "--quiet", "--offline"])?)?;
    let mut times = Times::new();
    times.record(began.elapsed());
    Ok(Figures::times(&times))
}

fn make(project: &Path) -> Result<(), Failed> {
    let manifest = format!(
        "[package]\nname = \"first\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         factstream = {{ path = '{}' }}\ntokio = {{ version = \"1\", features = [\"rt\", \"macros\"] }}\n",
        Path::new(WORKSPACE).canonicalize()?.join("crates/factstream").display()
    );
    std::fs::create_dir(project.join("src"))?;
    std::fs::write(project.join("Cargo.toml"), manifest)?;
    std::fs::write(project.join("src/main.rs"), MAIN)?;
    // The versions that are tested; those that are not needed fall away.
    std::fs::copy(Path::new(WORKSPACE).join("Cargo.lock"), project.join("Cargo.lock"))?;
    Ok(())
}

/// Cargo as a new user has it, with nothing of this workspace's settings.
fn cargo(project: &Path, args: &[&str]) -> Result<bool, Failed> {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.args(args).current_dir(project).stdout(Stdio::null());
    for setting in ["CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "RUSTFLAGS", "RUSTC_WRAPPER"] {
        cargo.env_remove(setting);
    }
    Ok(cargo.status()?.success())
}

fn must(done: bool) -> Result<(), Failed> {
    match done {
        true => Ok(()),
        false => Err("cargo failed".into()),
    }
}
