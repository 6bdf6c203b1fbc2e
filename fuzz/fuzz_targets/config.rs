#![no_main]

//! Reads arbitrary bytes as a configuration file.

use std::sync::LazyLock;

use towline_test_support::{TempFile, fuzz};

static FILE: LazyLock<TempFile> = LazyLock::new(TempFile::absent);

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::config(FILE.path(), data));
