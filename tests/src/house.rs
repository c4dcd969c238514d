//! How the code is laid out, held fast: layers without circles, files of one sitting, no SQL that nobody runs, crates that can be
//! published one after the other. ARCHITECTURE.md draws it.

mod circles;
mod imports;
mod tokens;

use circles::circles;
use imports::Imports;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// No file has more lines.
const LINES_MAX: usize = 500;

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the repository")
}

/// The files below a folder whose names end like this, without what is built.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The root files of all crates with modules: `lib.rs` or `main.rs`, and test binaries of several files.
fn crate_roots() -> Vec<PathBuf> {
    let is_root = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        name == "lib.rs" || (name == "main.rs" && !path.with_file_name("lib.rs").exists())
    };
    files(root(), ".rs").into_iter().filter(is_root).collect()
}

#[test]
fn modules_import_each_other_in_layers_and_never_in_a_circle() {
    let mut found = Vec::new();
    for root in crate_roots() {
        let imports = Imports::of(&root);
        for circle in circles(&imports) {
            found.push(format!("{}: {circle}", shown(&root)));
        }
    }
    assert!(found.is_empty(), "modules import each other in a circle:\n{}", found.join("\n"));
}

#[test]
fn a_file_is_read_in_one_sitting() {
    let lines = |path: &PathBuf| read(path).lines().count();
    let long = files(root(), ".rs").into_iter().filter(|path| lines(path) > LINES_MAX);
    let long: Vec<String> = long.map(|path| shown(&path)).collect();
    assert!(long.is_empty(), "these have more than {LINES_MAX} lines; split them by idea: {long:?}");
}

/// The names of the SQL files that some code includes.
fn included(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices(".sql\")").map(|(end, ending)| {
        let path = &code[..end + ending.len() - 2];
        path.rsplit(['/', '"']).next().unwrap_or_default()
    })
}

#[test]
fn every_sql_file_is_run_by_somebody() {
    let code: Vec<String> = files(root(), ".rs").iter().map(|path| read(path)).collect();
    let included: BTreeSet<&str> = code.iter().flat_map(|code| included(code)).collect();
    let is_unused =
        |path: &PathBuf| !included.contains(&*path.file_name().unwrap_or_default().to_string_lossy());
    let unused: Vec<String> =
        files(root(), ".sql").into_iter().filter(is_unused).map(|path| shown(&path)).collect();
    assert!(unused.is_empty(), "no code includes these: {unused:?}");
}

/// `cargo publish` looks for every dependency that has a version, those of the tests too. Crates that need each other there could not
/// be published at all, so one crate names another in its tests by its path alone.
#[test]
fn each_crate_can_be_published_before_those_that_only_its_tests_need() {
    let workspace = read(&root().join("Cargo.toml"));
    let with_version: BTreeSet<&str> = workspace
        .lines()
        .filter(|line| line.starts_with("factstream") && line.contains("version"))
        .filter_map(|line| line.split([' ', '.']).next())
        .collect();
    let mut found = Vec::new();
    for manifest in files(&root().join("crates"), "Cargo.toml") {
        let text = read(&manifest);
        let dev = text.split("\n[").filter(|table| table.starts_with("dev-dependencies]"));
        for line in dev.flat_map(str::lines) {
            let name = line.split([' ', '.']).next().unwrap_or_default();
            if with_version.contains(name) && !line.contains("path") && !text.contains("publish = false") {
                found.push(format!("{}: {name}", shown(&manifest)));
            }
        }
    }
    assert!(found.is_empty(), "name these by path alone, {{ path = \"../..\" }}: {found:?}");
}
