//! The `towline` binary: flags, configuration, run, exit code.
fn main() {}
