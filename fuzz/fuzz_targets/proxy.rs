#![no_main]

//! Reads arbitrary bytes as a PROXY header: the same comes out, however they are cut, and nothing behind it is read.

libfuzzer_sys::fuzz_target!(|data: &[u8]| towline::internal::proxy_protocol::check_laws(data));
