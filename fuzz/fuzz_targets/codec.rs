#![no_main]

//! Decodes arbitrary bytes in arbitrary pieces: the same lines come out, however they are cut.

libfuzzer_sys::fuzz_target!(|data: &[u8]| towline_test_support::fuzz::codec(data));
