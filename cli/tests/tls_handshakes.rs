//! Handshakes that stall or fail, beside clients that are connected.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline_test_support::{
    Client, ServerProcess, TempFile,
    tls::{Authority, TlsClient},
};

/// Clients of each kind.
const EACH: usize = 60;

/// Most resident memory for a handshake that stalls, in bytes.
const STALLED_BYTES_MAX: f64 = 24.0 * 1024.0;

/// The long form, with a thousand of them for seconds and the latency of the others, is
/// `towline-bench tls --only bad-handshakes`.
#[test]
fn fault_36_bad_handshakes_hold_little_memory_and_others_are_served() {
    let authority = Authority::new("authority");
    let pair = authority.sign_names(&["localhost"]);
    let (cert, key) = (TempFile::new(&pair.cert), TempFile::new(&pair.key));
    let server = ServerProcess::start(
        &[],
        &[
            "--threads",
            "1",
            "--heartbeat",
            "off",
            "--handshake-deadline",
            "1h",
            "--tls-cert",
            cert.name(),
            "--tls-key",
            key.name(),
        ],
    );
    let address = server.address();
    let client = TlsClient::new(&authority, None);
    let mut open = client.connect(address);
    let stranger = TlsClient::new(&Authority::new("other"), None);
    let closed = "towline_connections_closed_total{reason=\"tls_error\"}";
    let fail = || {
        for _ in 0..EACH {
            Client::connect(address).send("no TLS\n");
            let refused = stranger.try_connect(address).unwrap_err();
            assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
        }
    };
    // What the first ones of a server bring with them is not theirs.
    fail();
    let ended = 2.0 * EACH as f64;
    server.metric_when(closed, |count| count == ended);
    let before = server.metric("process_resident_memory_bytes");
    let stalled: Vec<_> = (0..2 * EACH)
        .map(|number| {
            let mut client = Client::connect(address);
            // The header of a record, or more, whose rest does not come.
            client.send([22, 3, 1, 2, 0, 1, 0, 1].get(..5 + number % 4).unwrap());
            open.ask("open\n", "open\n");
            client
        })
        .collect();
    let handshakes = "towline_connections{state=\"handshake\"}";
    server.metric_when(handshakes, |count| count == stalled.len() as f64);
    fail();
    server.metric_when(closed, |count| count == 2.0 * ended);
    let each = (server.metric("process_resident_memory_bytes") - before) / stalled.len() as f64;
    assert!(each <= STALLED_BYTES_MAX, "{each} bytes for a handshake that stalls");
    open.ask("open\n", "open\n");
    client.connect(address).ask("new\n", "new\n");
}
