//! What a library server logs at its start. One test, because the subscriber is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::convert::Infallible;

use support::log::Log;
use towline::{Lines, Server, service_fn};

/// A library server said nothing at start, not even at the level `trace`.
#[test]
fn a_start_is_logged() {
    let log = Log::install();
    let service = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    let running =
        Server::builder().listen("127.0.0.1:0").threads(1).serve(service).start().unwrap();
    let address = running.address().unwrap();
    let written = log.lines_with(&format!("message=serving address={address} "));
    assert!(written.len() == 1 && written[0].contains("threads=1 "), "{written:?}");
    assert!(log.lines_with("workload").is_empty(), "the service is the caller's");
}
