//! See `hubwire_fuzz::json_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::json_decode(input));
