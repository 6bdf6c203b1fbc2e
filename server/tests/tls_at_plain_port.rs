//! Clients that speak TLS to a listener that does not. The log is that of all tests of this process.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use support::{TestServer, log::Log};
use towline::config::{ConnectionLog, Framing};
use towline_test_support::{
    Client,
    tls::{Authority, TlsClient},
    wait_until,
};

const UNEXPECTED: &str = "towline_connections_closed_total{reason=\"unexpected_tls\"}";
const LINES: &str = "towline_lines_received_total";

/// What OpenSSL 3 sends first, up to the random bytes of the message, and then these.
fn hello(random: &[u8]) -> Vec<u8> {
    [&[22, 3, 1, 1, 0x3a, 1, 0, 1, 0x36, 3, 3], random].concat()
}

fn echo(framing: Framing) -> TestServer {
    support::echo(|settings| {
        settings.workload.framing = framing;
        settings.log.connections = ConnectionLog::All;
    })
}

/// The bytes of a handshake are no line, and were taken for one: what stood in front of the first newline among its
/// random bytes was echoed, and without one the client waited until `timeouts.line`. Nothing said that it was TLS.
#[test]
fn a_client_that_speaks_tls_is_closed_at_once_and_counted_apart() {
    let log = Log::install();
    let client = TlsClient::new(&Authority::new("authority"), None);
    for framing in [Framing::Batch, Framing::Lines] {
        let server = echo(framing);
        assert!(client.try_connect(server.address).is_err());
        for random in [
            &b"no end of line"[..],
            b"two\nlines\n",
            b"not \xff UTF-8, of no less than 33 bytes\n",
            b"",
        ] {
            let mut client = Client::connect(server.address);
            client.send(hello(random));
            client.expect_end("");
        }
        let metrics = server.metrics_when(|metrics| metrics.get(UNEXPECTED) == 5.0);
        assert_eq!(metrics.get(LINES), 0.0, "{framing:?}");
        assert_eq!(metrics.get("towline_connections_closed_total{reason=\"tls_error\"}"), 0.0);
    }
    let record = "reason=unexpected_tls detail=the client speaks TLS, this listener does not";
    wait_until("each has a record", || log.lines_with(record).len() >= 10);
}

#[test]
fn a_hello_that_comes_in_pieces_is_recognised_when_it_can_be() {
    let server = echo(Framing::Batch);
    let bytes = hello(b"random");
    // From its eleventh byte on it is known.
    for cut in 1..11 {
        let mut client = Client::connect(server.address);
        client.send(&bytes[..cut]);
        server
            .metrics_when(|metrics| metrics.get("towline_connections{state=\"read_wait\"}") == 1.0);
        client.send(&bytes[cut..]);
        client.expect_end("");
    }
    server.metrics_when(|metrics| metrics.get(UNEXPECTED) == 10.0);
}

#[test]
fn lines_that_begin_otherwise_and_bytes_behind_a_line_are_served() {
    let server = echo(Framing::Batch);
    let mut client = Client::connect(server.address);
    // The first bytes of a handshake alone, behind which a line ends.
    client.ask(b"\x16\x03\x01\n", b"\x16\x03\x01\n");
    // Behind a line anything may come: a program may have passed the connection on.
    let later = [&hello(b"random")[..], b"\n"].concat();
    client.ask(&later, &later);
    assert_eq!(server.metrics().get(UNEXPECTED), 0.0);
}
