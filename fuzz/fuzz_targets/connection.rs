#![no_main]

//! Serves echo over a stream with short reads and errors: the client gets its lines back, in order.

libfuzzer_sys::fuzz_target!(|data: &[u8]| towline_test_support::fuzz::connection(data));
