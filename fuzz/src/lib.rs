//! What the fuzzer's targets call: the checks, which the property tests in `tests/hostile` call, too.

mod checks;

pub use checks::*;
