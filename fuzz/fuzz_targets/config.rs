#![no_main]

//! Any bytes as a configuration file: settings that survive being written out, or sentences.

use std::{fs, path::PathBuf, sync::LazyLock};

use towline_config::{Sources, load};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("towline-fuzz-{}.toml", std::process::id()))
});

fn loaded(text: &[u8]) -> Result<towline_config::Effective, Vec<String>> {
    fs::write(&*FILE, text).expect("a temporary file can be written");
    let mut sources = Sources::default();
    sources.file = Some(FILE.clone());
    load(&sources).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match loaded(data) {
        Ok(effective) => {
            let again = loaded(effective.to_toml().as_bytes()).expect("what was written loads");
            assert_eq!(effective.settings, again.settings);
        }
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|error| !error.is_empty())),
    }
});
