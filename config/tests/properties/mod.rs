//! What must hold for any bytes given as a configuration file. The fuzz target `config` searches for
//! bytes that break it, `fuzz_corpus.rs` replays its corpus.

#![allow(clippy::unwrap_used, reason = "a property fails by panicking")]

use std::{fs, path::Path};

use towline_config::{Effective, Sources, load};

/// The bytes load as settings that print and load as the same, or they give errors. Writes to `file`.
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
