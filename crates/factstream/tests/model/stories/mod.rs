//! Processes, their aliases and their timers, in random cases on a real store: processes of the operating system are killed and started, letters
//! redriven, edited and discarded, and the clock moves on.
//!
//! The parts are those of the model itself: [`steps`] are what a case is made of, [`reference`] says what must be, [`play`] does it.

mod steps;
mod app;
mod reference;
mod play;

use crate::cases::{Place, prove};
use play::Play;

#[test]
fn whatever_is_done_and_whatever_breaks_processes_are_what_the_reference_says() {
    prove_stories(8, crate::cases::sqlite_file);
}

pub(crate) fn prove_stories(cases: u32, place: Place) {
    prove(cases, place, steps::case, async |case, url| Play::new(url, case.setup).case(case).await);
}
