use std::{fs, path::Path};

use towline_config::{Effective, Sources, load};

/// A configuration file of these bytes gives settings that print and load as the same, or it gives
/// errors. Writes to `file`.
pub fn config(file: &Path, text: &[u8]) {
    match loaded(file, text) {
        Ok(effective) => {
            let again = loaded(file, effective.to_toml().as_bytes()).unwrap();
            assert_eq!(effective.settings, again.settings);
        }
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.trim().is_empty()));
        }
    }
}

fn loaded(file: &Path, text: &[u8]) -> Result<Effective, Vec<String>> {
    fs::write(file, text).unwrap();
    let mut sources = Sources::default();
    sources.file = Some(file.to_owned());
    load(&sources).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}
