//! Replays the corpora of the fuzz targets `codec`, `connection` and `protocols` in an ordinary test run.

use towline_test_support::fuzz;

#[test]
fn fault_19_the_codec_holds_for_the_corpus() {
    fuzz::replay("codec", fuzz::codec);
}

#[test]
fn fault_43_a_connection_holds_for_the_corpus() {
    fuzz::replay("connection", fuzz::connection);
}

#[test]
fn every_protocol_keeps_its_laws_for_the_corpus() {
    fuzz::replay("protocols", fuzz::protocols);
}
