//! See `hubwire_fuzz::pattern`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::pattern(input));
