//! Replays the corpus of the fuzz target `config` in an ordinary test run.

use towline_test_support::{TempFile, fuzz};

#[test]
fn a_configuration_file_holds_for_the_corpus() {
    let file = TempFile::absent();
    fuzz::replay("config", |text| fuzz::config(file.path(), text));
}
