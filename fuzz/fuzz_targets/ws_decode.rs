//! See `hubwire_fuzz::ws_decode`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::ws_decode(input));
