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
    // Cargo builds the examples before it runs the tests, beside the folder of the tests.
    let tests = std::env::current_exe().unwrap();
    let quickstart = tests.parent().unwrap().parent().unwrap().join("examples/quickstart");
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(&quickstart).current_dir(dir.path()).output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}", quickstart.display()));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("status: \"SHIPPED\""), "{printed}");
}
