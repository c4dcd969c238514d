//! An event's JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::content(data);
});
