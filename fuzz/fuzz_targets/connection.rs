#![no_main]

//! Serves echo over a stream with short reads and errors: the peer gets its lines back, in order.

#![allow(dead_code, reason = "each target uses a part of the shared helpers")]

#[path = "../../middleware/tests/properties/mod.rs"]
mod properties;
#[path = "../../middleware/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::connection(data));
