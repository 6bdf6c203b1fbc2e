//! What an idle connection over TLS takes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline_test_support::{
    ServerProcess, TempFile,
    tls::{Authority, TlsClient},
};

/// Connections in a run of CI; `TOWLINE_TLS_CONNECTIONS` sets another number.
const CONNECTIONS: usize = 400;

/// Most resident memory of one, in bytes.
const BYTES_MAX: f64 = 12.0 * 1024.0;

#[test]
fn an_idle_connection_over_tls_takes_at_most_twelve_kibibytes() {
    let authority = Authority::new("authority");
    let pair = authority.sign_names(&["localhost"]);
    let (cert, key) = (TempFile::new(&pair.cert), TempFile::new(&pair.key));
    let asked = std::env::var("TOWLINE_TLS_CONNECTIONS").ok();
    let connections = asked.map_or(CONNECTIONS, |text| text.parse().unwrap());
    let arguments = ["--threads", "1", "--heartbeat", "off", "--tls-cert", cert.name()];
    let server = ServerProcess::start(&[], &[&arguments[..], &["--tls-key", key.name()]].concat());
    let client = TlsClient::new(&authority, None);
    let connect = |count| -> Vec<_> {
        (0..count)
            .map(|_| {
                let mut stream = client.connect(server.address());
                stream.ask("hello\n", "hello\n");
                stream
            })
            .collect()
    };
    // What the first ones of a server bring with them is not theirs.
    let first = connect(50);
    let resident = || server.metric("process_resident_memory_bytes");
    let before = resident();
    let more = connect(connections);
    let each = (resident() - before) / connections as f64;
    eprintln!("{each:.0} bytes for each of {connections} idle connections over TLS");
    assert!(each <= BYTES_MAX, "{each} bytes");
    drop((first, more));
}
