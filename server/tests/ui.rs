//! What the compiler says to services and sessions that are none: once, and what to do.

/// `TRYBUILD=overwrite` writes the expected errors anew, after a change of the compiler or of a signature.
#[test]
fn wrong_services_are_told_once_how_one_looks() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
