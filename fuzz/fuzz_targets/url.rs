//! The URLs of stores and brokers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    checks::url_with_a_password(data);
    checks::url(&String::from_utf8_lossy(data));
});
