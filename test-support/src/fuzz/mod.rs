//! What holds for any bytes. The fuzz targets in `fuzz/` search for bytes for which it does not hold;
//! [`replay`] repeats their corpus in an ordinary test run.

#[cfg(feature = "config")]
mod config;
#[cfg(feature = "middleware")]
mod connection;
#[cfg(feature = "middleware")]
mod protocols;

use std::{fs, path::Path};

#[cfg(feature = "config")]
pub use config::config;
#[cfg(feature = "middleware")]
pub use connection::{codec, connection};
#[cfg(feature = "middleware")]
pub use protocols::{Store, protocols};

/// Calls `property` with each input in the corpus of a fuzz target.
#[track_caller]
pub fn replay(target: &str, property: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        property(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} inputs in {}", corpus.display());
}
