//! What must hold for any bytes given as a configuration file. Shared with the fuzz target `config`:
//! it looks for bytes that break it, `fuzz_corpus.rs` replays what it kept.

#![allow(clippy::unwrap_used, reason = "a property fails by panicking")]

use std::{fs, path::Path};

use towline_config::{Effective, Sources, load};

/// Settings that survive being written out, or sentences. `file` is written to.
pub(crate) fn config(file: &Path, text: &[u8]) {
    match loaded(file, text) {
        Ok(effective) => {
            let again =
                loaded(file, effective.to_toml().as_bytes()).expect("what was written loads");
            assert_eq!(effective.settings, again.settings);
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.trim().is_empty()));
        }
    }
}

fn loaded(file: &Path, text: &[u8]) -> Result<Effective, Vec<String>> {
    fs::write(file, text).expect("a temporary file can be written");
    let mut sources = Sources::default();
    sources.file = Some(file.to_owned());
    load(&sources).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}
