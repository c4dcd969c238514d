//! The cursor and the limit of a list.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    checks::cursor(text);
    checks::limit(text);
});
