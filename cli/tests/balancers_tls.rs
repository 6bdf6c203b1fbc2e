//! TLS that a balancer passes through: it ends in the servers, which see the clients' own addresses and certificates.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline_test_support::{
    Balancer, ServerProcess, TempFile, can,
    tls::{Authority, Subject},
    towline,
};

const REJECTED: &str = "towline_connections_closed_total{reason=\"proxy_error\"}";

/// TLS ends in the server: HAProxy passes it on, and puts the client's address before it. That only a client with
/// the right certificate comes through shows that the server knows who it is.
#[test]
fn clients_over_tls_behind_haproxy_are_known_by_their_own_address_and_certificate() {
    if !can("haproxy -v") {
        return;
    }
    let authority = Authority::new("authority");
    let own = authority.sign_names(&["localhost"]);
    let device = |name: &str| {
        authority.sign(&Subject { common_name: name.to_owned(), ..Subject::default() })
    };
    let file = |text: &String| TempFile::new(text);
    let (ca, cert, key) = (file(&authority.pem()), file(&own.cert), file(&own.key));
    let tls = ["--tls-cert", cert.name(), "--tls-key", key.name(), "--tls-client-ca", ca.name()];
    let proxied = ["--proxy-protocol", "require", "--proxy-trusted", "127.0.0.1"];
    let allowed = ["--tls-client-allow", "device-7", "--threads", "1"];
    let servers: Vec<_> = (0..2)
        .map(|_| ServerProcess::start(&[], &[&tls[..], &proxied, &allowed].concat()))
        .collect();
    let lines: Vec<_> = servers.iter().map(ServerProcess::lines).collect();
    // As in deploy/haproxy/haproxy.cfg.
    let balancer = Balancer::haproxy("send-proxy-v2", &lines);
    let front = balancer.front().to_string();

    let load = |name: &str, more: &[&str]| {
        let pair = device(name);
        let (cert, key) = (file(&pair.cert), file(&pair.key));
        let target = ["load", &front, "-q", "-T", "300ms", "--tls", "--tls-ca", ca.name()];
        let shown = ["--tls-name", "localhost", "--tls-cert", cert.name(), "--tls-key", key.name()];
        let mode = ["--mode", "ping-pong", "--verify", "--sources", "127.0.2.0/24", "-c", "8"];
        towline(&[&target[..], &shown, &mode, more].concat())
    };
    let run = load("device-7", &[]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    for server in &servers {
        let closed = server.get("/connections?closed=10");
        // The addresses are those that the generator connected from, behind the balancer's own.
        assert_eq!(closed.matches("\"127.0.2.").count(), 4, "{closed}");
        assert_eq!(server.metric(REJECTED), 0.0);
    }
    let run = load("device-8", &[]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("alert"), "{run:?}");
}
