//! The README's quickstart, to the letter: it is compiled, it runs, and its own test passes (`test = true` in Cargo.toml).

use std::process::Command;

#[test]
fn the_readme_shows_this_quickstart_to_the_letter() {
    let readme = include_str!("../../../../README.md");
    let quickstart = include_str!("../../examples/quickstart.rs");
    let quickstart = quickstart.split("\n#[test]").next().unwrap();
    assert!(readme.contains(quickstart.trim()), "copy examples/quickstart.rs into the README");
    assert!(
        readme.contains(quickstart_test().trim()),
        "copy the test of examples/quickstart.rs into the README"
    );
}

fn quickstart_test() -> String {
    let quickstart = include_str!("../../examples/quickstart.rs");
    format!("#[test]{}", quickstart.split("#[test]").nth(1).unwrap())
}

/// Every crate that the quickstart names is in the README's list, in the version and with the features that it is compiled with here.
#[test]
fn the_readme_lists_what_the_quickstart_depends_on() {
    let (readme, workspace) = (include_str!("../../../../README.md"), include_str!("../../../../Cargo.toml"));
    let listed = readme.split("[dependencies]\n").nth(1).unwrap().split("```").next().unwrap();
    let quickstart = include_str!("../../examples/quickstart.rs");
    for name in ["factstream", "serde", "thiserror", "tokio"] {
        assert!(quickstart.contains(&format!("{name}::")), "the quickstart does not use {name}");
        let line = listed.lines().find(|line| line.starts_with(&format!("{name} ="))).unwrap();
        let version = line.split('"').nth(1).unwrap();
        let ours = workspace.lines().find(|own| own.starts_with(&format!("{name} ="))).unwrap();
        let is_ours = ours.contains(&format!("\"{version}\"")) || ours.contains(&format!("\"{version}.0\""));
        assert!(is_ours, "the README lists {line}, the workspace builds {ours}");
    }
    assert_eq!(
        listed.lines().filter(|line| line.contains('=')).count(),
        4,
        "no more than it needs: {listed}"
    );
}

#[test]
fn the_quickstart_runs_twice_and_prints_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let run = ["run", "--quiet", "--example", "quickstart", "--manifest-path", manifest];
    // The key says that the order was placed the first time.
    for _ in 0..2 {
        let output = Command::new(env!("CARGO")).args(run).current_dir(dir.path()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("item: \"tea\""), "{printed}");
    }
}

/// Its own test runs, too (`test = true` in Cargo.toml).
#[test]
fn a_process_with_a_time_out_and_its_test_takes_less_than_80_lines() {
    let lines = include_str!("../../examples/time_out.rs").lines().count();
    assert!(lines < 80, "it has {lines}");
}
