//! PROXY headers, lists and listeners with several processes: what the supervisor knows of a listener, its workers do.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::SocketAddr;

use rustix::process::Signal;
use towline_test_support::{Client, ServerProcess, TempFile, towline};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

#[test]
fn workers_read_the_headers_of_their_listener_and_know_the_lists() {
    let file = TempFile::new("203.0.113.0/24\n");
    let server = ServerProcess::start(
        &[],
        &[
            "--processes",
            "2",
            "--threads",
            "1",
            "--listen",
            "127.0.0.1:0,proxy_protocol=require",
            "--deny",
            file.name(),
        ],
    );
    for _ in 0..4 {
        let mut client = server.connect();
        client.send(HEADER);
        client.ask("in\n", "in\n");
        assert!(server.get("/connections").contains("192.0.2.1:56324"));
        let mut denied = server.connect();
        denied.send(b"PROXY TCP4 203.0.113.1 198.51.100.2 1 2\r\n");
        denied.expect_end("");
    }
    server.metric_when("towline_connections_closed_total{reason=\"client_refused\"}", |n| n == 4.0);
    // The list is read again by every worker.
    std::fs::write(file.path(), "192.0.2.0/24\n").unwrap();
    server.signal(Signal::HUP);
    server.metric_when("towline_config_reloads_total{result=\"ok\"}", |n| n == 1.0);
    for _ in 0..2 {
        let mut denied = server.connect();
        denied.send(HEADER);
        denied.expect_end("");
    }
    let plain: SocketAddr = server.all_lines()[1];
    Client::connect(plain).ask("in\n", "in\n");
    server.metrics().assert_connections_add_up();
}

#[test]
fn the_generator_begins_its_connections_as_a_load_balancer_does() {
    let server = ServerProcess::start(&[], &["--threads", "1", "--proxy-protocol", "require"]);
    let lines = server.lines().to_string();
    for proxy in ["198.18.0.0/24", "local"] {
        let load =
            ["load", &lines, "-c", "20", "-T", "200ms", "--verify", "--quiet", "--proxy", proxy];
        let run = towline(&load);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    let listing = server.get("/connections?closed=40");
    assert!(
        listing.contains("\"198.18.0.0:1024\"") && listing.contains("\"198.18.0.19:1024\""),
        "{listing}"
    );
    server.metric_when("towline_connections_closed_total{reason=\"peer_eof\"}", |closed| {
        closed == 40.0
    });
}
