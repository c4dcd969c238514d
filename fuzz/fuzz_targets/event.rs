//! An event as it may lie in a store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::event(data);
});
