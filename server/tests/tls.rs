//! TLS on the line port: certificates, clients, what fails, and what the client and the metrics say.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
};

use rustls::version::{TLS12, TLS13};
use support::TestServer;
use towline::{Lines, Peer, RunError, Server, Settings, Tls, config::TlsVersion, service_fn};
use towline_test_support::{
    Client, TempFile,
    tls::{Authority, Pair, Subject, TlsClient},
};

fn builder(tls: Tls) -> towline::Builder {
    let mut settings = Settings::default();
    settings.server.threads = 1.try_into().ok();
    settings.heartbeat = towline::Heartbeat::off();
    let server = Server::builder().settings(settings).tls(tls);
    server.listen("127.0.0.1:0").admin("127.0.0.1:0")
}

fn serve(tls: Tls) -> TestServer {
    TestServer::new(builder(tls).serve(support::echo_service()).start().unwrap())
}

fn refusal(tls: Tls) -> RunError {
    match builder(tls).serve(support::echo_service()).start() {
        Ok(_) => panic!("the server started"),
        Err(error) => error,
    }
}

fn pem(pair: &Pair) -> Tls {
    Tls::pem(pair.cert.as_str(), pair.key.as_str())
}

fn localhost() -> (Authority, Pair) {
    let authority = Authority::new("authority");
    let pair = authority.sign_names(&["localhost"]);
    (authority, pair)
}

fn device(authority: &Authority, name: &str, serial: u64) -> Pair {
    authority.sign(&Subject {
        common_name: name.to_owned(),
        uris: vec![format!("spiffe://example/{name}")],
        dns: vec![format!("{name}.example")],
        serial,
        ..Subject::default()
    })
}

/// Waits until as many connections have ended for this reason.
fn ended(server: &TestServer, reason: &str, count: f64) {
    let metric = format!("towline_connections_closed_total{{reason=\"{reason}\"}}");
    server.metrics_when(|metrics| metrics.get(&metric) == count);
}

#[test]
fn lines_are_served_over_both_versions_and_the_close_is_clean() {
    let (authority, pair) = localhost();
    let server = serve(pem(&pair));
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::with_versions(&authority, None, &[version]);
        let mut stream = client.connect(server.address);
        stream.ask("a\nbb\n", "a\nbb\n");
        let long = "x".repeat(60_000) + "\n";
        stream.ask(&long, &long);
        stream.close_notify();
        stream.expect_end("");
    }
    ended(&server, "peer_eof", 2.0);
}

#[test]
fn a_ticket_resumes_the_session() {
    let (authority, pair) = localhost();
    let server = serve(pem(&pair));
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::with_versions(&authority, None, &[version]);
        for resumed in [false, true, true] {
            let mut stream = client.connect(server.address);
            stream.ask("a\n", "a\n");
            assert_eq!(stream.is_resumed(), resumed, "{version:?}");
        }
    }
}

#[test]
fn the_oldest_version_is_a_setting() {
    let (authority, pair) = localhost();
    let server = serve(pem(&pair).min_version(TlsVersion::V13));
    let refused = TlsClient::with_versions(&authority, None, &[&TLS12]).refusal(server.address);
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    ended(&server, "tls_error", 1.0);
    TlsClient::new(&authority, None).connect(server.address).ask("a\n", "a\n");
}

#[test]
fn a_service_knows_who_its_client_is() {
    let (authority, pair) = localhost();
    let who = |peer: Peer| {
        let tls = peer.tls().expect("TLS");
        let client = peer.identity().map(|client| {
            format!(
                "{:?} {:?} {:?} {}",
                client.common_name(),
                client.uris(),
                client.dns_names(),
                client.serial()
            )
        });
        let said = format!("{} {:?} {client:?}\n", tls.version(), tls.server_name());
        service_fn(move |_: Lines| {
            let said = said.clone();
            async move { Ok::<_, towline::BoxError>(Lines::new(said).expect("a line")) }
        })
    };
    let tls = pem(&pair).clients_of_pem(authority.pem()).clients_optional();
    let server = TestServer::new(builder(tls).serve_with(who).start().unwrap());
    let own = device(&authority, "dev7", 0x7f01);
    for (own, expected) in [
        (None, "1.3 Some(\"localhost\") None\n"),
        (
            Some(&own),
            "1.3 Some(\"localhost\") Some(\"Some(\\\"dev7\\\") [\\\"spiffe://example/dev7\\\"] \
             [\\\"dev7.example\\\"] 7f01\")\n",
        ),
    ] {
        TlsClient::new(&authority, own).connect(server.address).ask("who\n", expected);
    }
}

#[test]
fn only_clients_of_the_authority_that_are_allowed_come() {
    let (authority, pair) = localhost();
    let other = Authority::new("other");
    let tls = pem(&pair).clients_of_pem(authority.pem()).allow(["spiffe://example/dev*", "root"]);
    let server = serve(tls);
    let connect = |own: Option<&Pair>| TlsClient::new(&authority, own);
    connect(Some(&device(&authority, "dev7", 7))).connect(server.address).ask("a\n", "a\n");
    let expired = authority.sign(&Subject {
        common_name: "root".to_owned(),
        expired: true,
        ..Subject::default()
    });
    let refused = [
        (None, "CertificateRequired"),
        (Some(device(&authority, "printer", 8)), "AccessDenied"),
        (Some(device(&other, "dev7", 7)), "UnknownCA"),
        (Some(expired), "CertificateExpired"),
    ];
    for (own, alert) in &refused {
        let said = connect(own.as_ref()).refusal(server.address);
        assert!(said.contains(alert), "{alert}: {said}");
    }
    ended(&server, "tls_error", refused.len() as f64);
}

#[test]
fn plain_text_is_answered_with_an_alert_and_counted() {
    let (_, pair) = localhost();
    let server = serve(pem(&pair));
    for sent in ["hello\n".to_owned(), "GET / HTTP/1.1\r\n\r\n".to_owned(), "x".repeat(20_000)] {
        let mut client = Client::connect(server.address);
        let _ = client.try_send(&sent);
        let mut alert = Vec::new();
        client.read_to_end(&mut alert).unwrap();
        // An alert of TLS: fatal.
        assert_eq!((alert[0], alert[5]), (21, 2), "{alert:?}");
    }
    ended(&server, "tls_error", 3.0);
}

#[test]
fn an_end_without_a_close_notify_is_told_apart() {
    let (authority, pair) = localhost();
    let server = serve(pem(&pair));
    let mut stream = TlsClient::new(&authority, None).connect(server.address);
    stream.ask("a\n", "a\n");
    stream.0.sock.shutdown(Shutdown::Write).unwrap();
    ended(&server, "peer_reset", 1.0);
    let mut stream = TlsClient::new(&authority, None).connect(server.address);
    stream.ask("a\n", "a\n");
    // No record of TLS, in the place of one.
    stream
        .0
        .sock
        .write_all(&[
            23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
        ])
        .unwrap();
    ended(&server, "tls_error", 1.0);
}

#[test]
fn fault_36_a_byte_at_a_time_is_a_handshake_and_silence_is_none() {
    let (authority, pair) = localhost();
    let tls = pem(&pair);
    let server = builder(tls).set(|settings| {
        settings.timeouts.handshake = std::time::Duration::from_secs(2);
    });
    let server = TestServer::new(server.serve(support::echo_service()).start().unwrap());
    let silent: Vec<_> = (0..20).map(|_| Client::connect(server.address)).collect();
    TlsClient::new(&authority, None).connect_by_bytes(server.address).ask("a\n", "a\n");
    ended(&server, "handshake_timeout", silent.len() as f64);
}

#[test]
fn a_listener_may_be_without_tls() {
    let (_, pair) = localhost();
    let server = builder(pem(&pair)).set(|settings| settings.server.listen[0].tls = Some(false));
    let server = TestServer::new(server.serve(support::echo_service()).start().unwrap());
    Client::connect(server.address).ask("a\n", "a\n");
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new("authority");
    let files: Vec<_> = ["a.example", "*.b.example"]
        .map(|name| authority.sign_names(&[name]))
        .iter()
        .map(|pair| (TempFile::new(&pair.cert), TempFile::new(&pair.key)))
        .collect();
    let names = |at: fn(&(TempFile, TempFile)) -> &TempFile| {
        files.iter().map(|pair| at(pair).path().to_owned()).collect()
    };
    let (cert, key) = (names(|pair| &pair.0), names(|pair| &pair.1));
    let server = support::echo(move |settings| (settings.tls.cert, settings.tls.key) = (cert, key));
    let client = TlsClient::new(&authority, None);
    for name in ["a.example", "x.b.example", "A.example"] {
        client.clone().named(name).connect(server.address).ask("a\n", "a\n");
    }
    let refused = client.named("c.example").refusal(server.address);
    assert!(refused.contains("alert"), "{refused}");
    ended(&server, "tls_error", 1.0);
}

#[test]
fn wrong_pairs_are_refused_in_a_sentence_that_names_the_file() {
    let (authority, pair) = localhost();
    let other = authority.sign_names(&["localhost"]);
    let expired = authority.sign(&Subject { expired: true, ..Subject::default() });
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let reversed = authority.pem() + &pair.cert;
    let cases = [
        (Tls::pem(pair.cert.as_str(), other.key.as_str()), "is not the key of"),
        (Tls::pem(expired.cert, expired.key), "has expired at"),
        (Tls::pem(pair.cert.as_str(), encrypted), "is encrypted"),
        (Tls::pem(pair.cert.as_str(), ""), "is no private key in PEM"),
        (Tls::pem(pair.cert.as_str(), pair.cert.as_str()), "has no private key"),
        (Tls::pem("nothing", pair.key.as_str()), "has no certificate"),
        (Tls::pem(reversed, pair.key.as_str()), "is in the wrong order"),
        (
            Tls::files("/nowhere/cert.pem", "/nowhere/key.pem"),
            "tls.cert = \"/nowhere/cert.pem\" cannot be read",
        ),
        (pem(&pair).clients_of_pem("nothing"), "tls.client_ca"),
    ];
    for (tls, expected) in cases {
        let error = refusal(tls);
        assert!(error.is_usage(), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}
