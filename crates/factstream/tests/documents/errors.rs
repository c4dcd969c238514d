//! docs/errors.md has every error that a user can meet, and none that does not exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../../docs/errors.md");

/// `Enum::Variant` of each public enum of errors.
fn declared() -> BTreeSet<String> {
    let crates = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut names = BTreeSet::new();
    for one in fs::read_dir(crates).unwrap() {
        for file in sources(&one.unwrap().path().join("src")) {
            of_file(&fs::read_to_string(file).unwrap(), &mut names);
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn of_file(text: &str, names: &mut BTreeSet<String>) {
    let mut lines = text.lines();
    let mut is_error = false;
    while let Some(line) = lines.next() {
        if line.starts_with("#[derive") {
            is_error = line.contains("thiserror::Error");
        }
        let Some(rest) = line.strip_prefix("pub enum ").filter(|_| is_error) else { continue };
        let name = identifier(rest);
        for variant in lines.by_ref().take_while(|line| *line != "}") {
            let variant = variant.strip_prefix("    ").unwrap_or_default();
            if variant.starts_with(char::is_uppercase) {
                names.insert(format!("{name}::{}", identifier(variant)));
            }
        }
    }
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap()
}

/// What stands between backticks and looks like `Enum::Variant`.
fn on_the_page() -> BTreeSet<String> {
    let quoted = PAGE.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        let mut parts = text.split("::");
        let parts = [parts.next(), parts.next(), parts.next()];
        matches!(parts, [Some(name), Some(variant), None]
            if name.ends_with("Error") || name.starts_with("Invalid") || name == "Unreadable"
                && variant.starts_with(char::is_uppercase))
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_index_of_errors_is_complete_and_true() {
    let (declared, listed) = (declared(), on_the_page());
    for known in ["Error::KeyReused", "ExecuteError::Rejected", "StoreError::Unknown", "Unreadable::NoKey"] {
        assert!(
            declared.contains(known),
            "the sources are not understood: {known} is not among {declared:?}"
        );
    }
    let missing: Vec<_> = declared.difference(&listed).collect();
    assert!(missing.is_empty(), "add to docs/errors.md what it means and what to do: {missing:?}");
    let gone: Vec<_> = listed.difference(&declared).collect();
    assert!(gone.is_empty(), "docs/errors.md lists what is not declared: {gone:?}");
}
