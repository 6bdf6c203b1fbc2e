//! What the compiler says to handlers that are none: the error must say how one looks, and to a closure that counts.

/// `TRYBUILD=overwrite` writes the expected errors anew, after a change of the compiler or of a signature.
#[test]
fn wrong_handlers_are_told_how_one_looks() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
