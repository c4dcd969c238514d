//! The whole model: random commands and faults on a real store, against a reference of plain maps.
//!
//! A case is some tens of steps on a fresh store with up to two processes. [`reference`] says what each step must come
//! to, and what must be there once everything has settled; [`play`] does it; [`compare`] looks. A failing case is made as
//! small as it goes and printed with the seed that makes it again:
//!
//! `FACTSTREAM_MODEL_SEED=7 FACTSTREAM_MODEL_CASES=1000 cargo test -p factstream --test model`
//!
//! [`stories`] are the same for processes, their aliases and their timers.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/shifted.rs"]
mod shifted;
mod cases;
mod fate;
mod steps;
mod reference;
mod bank;
mod processes;
mod play;
mod letters;
mod compare;
mod found;
mod stories;
#[cfg(feature = "postgres")]
mod on_postgres;

use cases::{Place, prove, sqlite_file};
use play::Play;
use steps::case;

#[test]
fn whatever_is_done_and_whatever_breaks_the_store_is_what_the_reference_says() {
    prove_bank(40, sqlite_file);
}

pub(crate) fn prove_bank(cases: u32, place: Place) {
    prove(cases, place, case, async |case, url| Play::new(url, case.setup).case(case).await);
}
