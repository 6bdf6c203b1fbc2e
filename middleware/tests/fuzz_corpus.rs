//! Replays what fuzzing kept, so that an ordinary test run stands on its shoulders.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod properties;
mod support;

use std::{fs, path::Path};

#[track_caller]
fn replay(target: &str, property: fn(&[u8])) {
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

#[test]
fn fault_19_the_codec_holds_for_the_corpus() {
    replay("codec", properties::codec);
}

#[test]
fn fault_43_a_connection_holds_for_the_corpus() {
    replay("connection", properties::connection);
}
