//! What a program's server logs of connections that ended. One test, because the subscriber is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::convert::Infallible;

use support::{log::Log, serve};
use towline::{Lines, config::ConnectionLog, service_fn};
use towline_test_support::wait_until;

/// A panic in a service was logged with its place in the code alone: no record told which client caused it.
#[test]
fn a_panic_is_logged_with_the_id_and_peer_of_its_connection_also_without_records() {
    let log = Log::install();
    let service = service_fn(|lines: Lines| async move {
        assert_ne!(lines.as_bytes(), b"panic\n", "as the test wants it");
        Ok::<_, Infallible>(lines)
    });
    for (setting, expected) in [
        (ConnectionLog::Off, ["WARN", "its service panicked"]),
        (ConnectionLog::Abnormal, ["INFO", "reason=service_panic"]),
    ] {
        let server = serve(service, |settings| settings.log.connections = setting);
        let mut client = server.connect();
        let peer = client.local_addr().unwrap();
        client.send("panic\n");
        client.expect_end("");
        let peer = format!("peer={peer} ");
        wait_until("it is logged", || !log.lines_with(&peer).is_empty());
        let lines = log.lines_with(&peer);
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in expected.into_iter().chain(["id=", "connection closed"]) {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }
}
