//! See `hubwire_fuzz::token_verify`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::token_verify(input));
