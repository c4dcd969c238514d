//! The same on a real PostgreSQL server: fewer cases, each in a database of its own.

use crate::{found, play, prove};
use tempfile::TempDir;

fn database(_: &TempDir) -> String {
    factstream_tests::postgres::server().database()
}

#[test]
fn on_postgresql_too_the_store_is_what_the_reference_says() {
    prove(8, database);
}

#[test]
fn on_postgresql_too_a_rebuild_that_meets_a_dead_letter_switches() {
    play(&found::a_rebuild_with_a_dead_letter(), &database).unwrap();
}
