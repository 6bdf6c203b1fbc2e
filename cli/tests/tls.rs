//! TLS of the program: files that change, several processes, what the log says, and clients that others wrote.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use rustix::process::Signal;
use towline_test_support::{
    ServerProcess, TempFile, can,
    tls::{Authority, Pair, Subject, TlsClient},
    wait_until,
};

/// A certificate and its key in files.
struct Files {
    cert: TempFile,
    key: TempFile,
}

impl Files {
    fn new(pair: &Pair) -> Self {
        Self { cert: TempFile::new(&pair.cert), key: TempFile::new(&pair.key) }
    }

    fn write(&self, pair: &Pair) {
        self.cert.write(&pair.cert);
        self.key.write(&pair.key);
    }

    fn start(&self, arguments: &[&str]) -> ServerProcess {
        let own = ["--tls-cert", self.cert.name(), "--tls-key", self.key.name()];
        ServerProcess::start(&[], &[&own, arguments].concat())
    }
}

const RELOADED: &str = "towline_tls_reloads_total{result=\"ok\"}";
const NOT_RELOADED: &str = "towline_tls_reloads_total{result=\"error\"}";

/// The serial number of the certificate that the server shows.
fn serial(client: &TlsClient, server: &ServerProcess) -> Vec<u8> {
    let stream = client.connect(server.address());
    stream.0.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn fault_36_certificates_are_replaced_under_lines_in_all_processes() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority.sign_names(&["localhost"]));
    let server = files.start(&["--processes", "2", "--threads", "2", "--log-level", "warn"]);
    let (ends, lines) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let address = server.address();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (ends, lines) = (ends.clone(), lines.clone());
            let client = TlsClient::new(&authority, None);
            thread::spawn(move || {
                let mut open = client.connect(address);
                while !ends.load(Relaxed) {
                    // One that stays open, and one that comes and goes.
                    open.ask("open\n", "open\n");
                    client.connect(address).ask("new\n", "new\n");
                    lines.fetch_add(2, Relaxed);
                }
            })
        })
        .collect();
    let client = TlsClient::new(&authority, None);
    let mut before = serial(&client, &server);
    for swap in 0..8 {
        files.write(&authority.sign_names(&["localhost"]));
        // Every other one is found by the server itself.
        if swap % 2 == 0 {
            server.signal(Signal::HUP);
        }
        // New connections go to both.
        wait_until("both processes show it", || {
            let shown = [0; 8].map(|_| serial(&client, &server));
            shown[0] != before && shown.windows(2).all(|pair| pair[0] == pair[1])
        });
        before = serial(&client, &server);
        // Lines go on under it, on connections of before and on new ones.
        let so_far = lines.load(Relaxed);
        wait_until("lines go on", || lines.load(Relaxed) >= so_far + 16);
    }
    ends.store(true, Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    for reason in ["tls_error", "handshake_timeout", "io_error", "worker_lost"] {
        let closed = format!("towline_connections_closed_total{{reason=\"{reason}\"}}");
        assert_eq!(server.metric(&closed), 0.0, "{reason}");
    }
}

#[test]
fn a_changed_file_is_read_and_a_wrong_one_keeps_the_one_before() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority.sign_names(&["localhost"]));
    let server = files.start(&["--threads", "1"]);
    let client = TlsClient::new(&authority, None);
    let first = serial(&client, &server);
    assert_eq!(server.metric("towline_tls_last_reload_successful"), 1.0);
    // A certificate without its key, as in the middle of a replacement.
    let next = authority.sign_names(&["localhost"]);
    files.cert.write(&next.cert);
    server.metric_when(NOT_RELOADED, |errors| errors >= 1.0);
    assert_eq!(server.metric("towline_tls_last_reload_successful"), 0.0);
    assert_eq!(serial(&client, &server), first);
    files.key.write(&next.key);
    server.metric_when(RELOADED, |reloads| reloads >= 1.0);
    assert_eq!(server.metric("towline_tls_last_reload_successful"), 1.0);
    assert_ne!(serial(&client, &server), first);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("is not the key of tls.cert"), "{}", run.stderr);
}

#[test]
fn a_revoked_client_is_refused_by_name_in_the_log() {
    let authority = Authority::new("authority");
    let files = Files::new(&authority.sign_names(&["localhost"]));
    let (ca, crl) = (TempFile::new(authority.pem()), TempFile::new(authority.revoke(&[66])));
    let device = |name: &str, serial| {
        authority.sign(&Subject { common_name: name.into(), serial, ..Subject::default() })
    };
    let arguments = ["--tls-client-ca", ca.name(), "--tls-client-crl", crl.name()];
    let log = ["--log-connections", "abnormal", "--threads", "1"];
    let server = files.start(&[&arguments[..], &log].concat());
    let good = device("good", 65);
    TlsClient::new(&authority, Some(&good)).connect(server.address()).ask("a\n", "a\n");
    let said = TlsClient::new(&authority, Some(&device("mallory", 66))).refusal(server.address());
    assert!(said.contains("CertificateRevoked"), "{said}");
    server.metric_when("towline_connections_closed_total{reason=\"tls_error\"}", |n| n == 1.0);
    // The list is read again, and a ticket of before is worth nothing.
    crl.write(authority.revoke(&[65]));
    server.signal(Signal::HUP);
    server.metric_when(RELOADED, |reloads| reloads >= 1.0);
    let said = TlsClient::new(&authority, Some(&good)).refusal(server.address());
    assert!(said.contains("CertificateRevoked"), "{said}");
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    for expected in ["client certificate revoked: \\\"mallory\\\"", "revoked: \\\"good\\\""] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

#[test]
fn s_client_of_openssl_verifies_and_echoes() {
    if !can("openssl version") {
        return;
    }
    let authority = Authority::new("authority");
    let files = Files::new(&authority.sign_names(&["localhost"]));
    let ca = TempFile::new(authority.pem());
    let server = files.start(&["--threads", "1", "--heartbeat", "off"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let address = server.address().to_string();
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"])
            .args(["-verify_hostname", "localhost", "-CAfile", ca.name(), "-connect", &address])
            .arg(version)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"hello\n").unwrap();
        let mut line = String::new();
        let output = client.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "hello\n", "{version}");
        drop(input);
        client.kill().unwrap();
        client.wait().unwrap();
    }
}
