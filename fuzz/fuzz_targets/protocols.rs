#![no_main]

//! Reads arbitrary bytes in each protocol: its laws hold, however they are cut.

libfuzzer_sys::fuzz_target!(|data: &[u8]| towline_test_support::fuzz::protocols(data));
