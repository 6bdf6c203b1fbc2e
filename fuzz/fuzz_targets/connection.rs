#![no_main]
#![allow(dead_code, reason = "each target uses its own part of what they share")]

#[path = "../../middleware/tests/properties/mod.rs"]
mod properties;
#[path = "../../middleware/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::connection(data));
