//! See `hubwire_fuzz::protobuf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hubwire_fuzz::protobuf(input));
