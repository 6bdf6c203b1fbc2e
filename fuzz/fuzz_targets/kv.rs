#![no_main]

//! Serves the example `kv` to a client that sends arbitrary bytes, stalls and resets.

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../../server/examples/kv.rs"]
mod kv;

libfuzzer_sys::fuzz_target!(|data: &[u8]| towline::test::fuzz(kv::server(towline::Server::builder()), data));
