//! The same on a real PostgreSQL server: fewer cases, each in a database of its own.

use crate::stories::prove_stories;
use crate::{found, prove_bank};
use tempfile::TempDir;

fn database(_: &TempDir) -> String {
    factstream_tests::postgres::server().database()
}

#[test]
fn on_postgresql_too_the_store_is_what_the_reference_says() {
    prove_bank(8, database);
}

#[test]
fn on_postgresql_too_a_rebuild_that_meets_a_dead_letter_switches() {
    found::play_it(&found::a_rebuild_with_a_dead_letter(), database);
}

#[test]
fn on_postgresql_too_processes_are_what_the_reference_says() {
    prove_stories(4, database);
}
