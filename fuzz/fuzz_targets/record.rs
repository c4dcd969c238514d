//! A record of a topic, from any producer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::record(data);
});
