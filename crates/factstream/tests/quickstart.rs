//! The README's quickstart, to the letter: it is compiled, it runs, and its own test passes (`test = true` in Cargo.toml).
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_readme_shows_this_quickstart_to_the_letter() {
    let readme = include_str!("../../../README.md");
    let quickstart = include_str!("../examples/quickstart.rs");
    assert!(readme.contains(quickstart.trim()), "copy examples/quickstart.rs into the README");
}

#[test]
fn the_quickstart_runs_and_prints_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let run = ["run", "--quiet", "--example", "quickstart", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(run).current_dir(dir.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("status: \"SHIPPED\""), "{printed}");
}
