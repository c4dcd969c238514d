//! Programs of other teams, in Python with `confluent-kafka` from PyPI: the other side of the wire.

use crate::target_folder;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// One of the programs in `tests/peers`, ready to be run.
///
/// # Panics
/// When Python or its library is missing and cannot be fetched.
pub fn python(program: &str, broker: &str, args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(format!("{}/peers/{program}", env!("CARGO_MANIFEST_DIR")))
        .arg(broker.trim_start_matches("kafka://"))
        .args(args)
        .env("PYTHONPATH", library())
        .env("PYTHONWARNINGS", "ignore");
    command
}

/// Runs one to its end; it must succeed.
///
/// # Panics
/// When it fails, with what it printed.
pub fn run(program: &str, broker: &str, args: &[&str]) -> String {
    succeeded(python(program, broker, args).output().expect("Python is there"))
}

/// Starts one beside the test.
///
/// # Panics
/// When it cannot be started.
pub fn start(program: &str, broker: &str, args: &[&str]) -> Child {
    let mut command = python(program, broker, args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("Python is there")
}

/// What a program printed, which must have succeeded.
///
/// # Panics
/// When it did not.
pub fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folder with `confluent-kafka`, fetched once into the target folder.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = target_folder().join("confluent-kafka-2.16");
        if !folder.join("complete").exists() {
            let fetched = Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
                .arg(&folder)
                .arg("confluent-kafka>=2.16,<3")
                .stderr(Stdio::null())
                .status();
            assert!(
                fetched.is_ok_and(|status| status.success()),
                "confluent-kafka cannot be fetched; install Python 3 with pip"
            );
            std::fs::write(folder.join("complete"), "").expect("the folder can be written");
        }
        folder
    })
}
