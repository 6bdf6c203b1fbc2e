//! Replays the corpus of the fuzz target `config` in an ordinary test run.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod properties;

use std::{fs, path::Path};

#[test]
fn a_configuration_file_holds_for_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/config");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-corpus.toml");
    let mut replayed = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        properties::config(&file, &fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} inputs in {}", corpus.display());
}
