#![no_main]

//! Decodes arbitrary bytes in arbitrary pieces: the same lines come out, however they are cut.

#![allow(dead_code, reason = "each target uses a part of the shared helpers")]

#[path = "../../middleware/tests/properties/mod.rs"]
mod properties;
#[path = "../../middleware/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::codec(data));
