//! See `hubwire_fuzz::rest_path`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::rest_path(input));
