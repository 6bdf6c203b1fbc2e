#![no_main]

//! Reads arbitrary bytes as a configuration file.

#[path = "../../config/tests/properties/mod.rs"]
mod properties;

use std::{path::PathBuf, sync::LazyLock};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("towline-fuzz-{}.toml", std::process::id()))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::config(&FILE, data));
