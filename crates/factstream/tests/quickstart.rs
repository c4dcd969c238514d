//! The README's quickstart, to the letter: it is compiled, it runs, its own test passes.
#![allow(missing_docs, dead_code, clippy::all, clippy::pedantic, rustfmt::skip)]

include!("../examples/quickstart.rs");

#[test]
fn the_readme_shows_this_quickstart_to_the_letter() {
    let readme = include_str!("../../../README.md");
    let quickstart = include_str!("../examples/quickstart.rs");
    assert!(readme.contains(quickstart.trim()), "copy examples/quickstart.rs into the README");
}

#[test]
fn the_quickstart_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(dir.path()).unwrap();
    main().unwrap();
}
