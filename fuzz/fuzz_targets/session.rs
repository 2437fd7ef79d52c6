//! See `hubwire_fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::session(input));
