//! See `hubwire_fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::filter(input));
