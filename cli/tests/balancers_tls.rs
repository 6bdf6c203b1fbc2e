//! TLS that a balancer passes through: it ends in the servers, which see the clients' own addresses and certificates.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

use towline_test_support::{
    ServerProcess, TempFile, can,
    tls::{Authority, Subject},
    towline,
};

const REJECTED: &str = "towline_connections_closed_total{reason=\"proxy_error\"}";

/// HAProxy as deploy/haproxy/haproxy.cfg has it, killed when dropped.
struct Passthrough {
    process: Child,
    front: SocketAddr,
    _configuration: TempFile,
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Passthrough {
    /// Takes over a listening socket as descriptor 3, on a port that the kernel chose.
    fn new(servers: &[SocketAddr]) -> Self {
        const PASS: &str = "exec 3<&0 </dev/null; exec haproxy -q -f \"$0\"";
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = listener.local_addr().unwrap();
        let servers = servers.iter().enumerate();
        let servers: String = servers
            .map(|(at, server)| format!("  server s{at} {server} send-proxy-v2\n"))
            .collect();
        let configuration = TempFile::new(format!(
            "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n\
             listen lines\n  bind fd@3\n  balance roundrobin\n{servers}"
        ));
        let process = Command::new("sh")
            .args(["-c", PASS, configuration.name()])
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, front, _configuration: configuration }
    }
}

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
    let balancer = Passthrough::new(&lines);
    let front = balancer.front.to_string();

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
