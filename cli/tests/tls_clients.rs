//! Clients of TLS that others wrote: GnuTLS and Python, with and without a certificate. Those of OpenSSL are in
//! `tls.rs`, load balancers in `tls_balancers.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use towline_test_support::{
    ServerProcess, TempFile, can,
    tls::{Authority, Pair, Subject},
};

/// A server whose clients need certificates of the same authority, or need none.
struct Tested {
    server: ServerProcess,
    ca: TempFile,
    own: [TempFile; 2],
    revoked: [TempFile; 2],
    _files: [TempFile; 3],
}

impl Tested {
    fn start(with_clients: bool) -> Self {
        let authority = Authority::new("authority");
        let ca = TempFile::new(authority.pem());
        let Pair { cert, key } = authority.sign_names(&["localhost"]);
        let files = [cert, key, authority.revoke(&[66])].map(TempFile::new);
        let [cert, key, crl] = files.each_ref().map(TempFile::name);
        let mut flags = vec!["--tls-cert", cert, "--tls-key", key, "--threads", "1"];
        if with_clients {
            flags.extend(["--tls-client-ca", ca.name(), "--tls-client-crl", crl]);
        }
        let device = |serial| {
            let common_name = format!("device-{serial}");
            let Pair { cert, key } =
                authority.sign(&Subject { common_name, serial, ..Subject::default() });
            [cert, key].map(TempFile::new)
        };
        let (own, revoked) = (device(65), device(66));
        let server = ServerProcess::start(&[], &flags);
        Self { server, ca, own, revoked, _files: files }
    }

    fn ended(&self, reason: &str, count: f64) {
        let metric = format!("towline_connections_closed_total{{reason=\"{reason}\"}}");
        self.server.metric_when(&metric, |closed| closed == count);
    }
}

/// Sends a line by a client that passes its input on, and returns what comes back first; nothing if it is refused.
fn ask(client: &mut Command) -> String {
    let client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = client.spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    // A client that was refused may have ended.
    let _ = input.write_all(b"by way of others\n");
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line == "by way of others").unwrap_or_default();
    drop(input);
    let _ = process.kill();
    process.wait().unwrap();
    line
}

fn gnutls(tested: &Tested, priority: &str, own: Option<&[TempFile; 2]>) -> Command {
    let mut client = Command::new("gnutls-cli");
    client.args(["--sni-hostname", "localhost", "--verify-hostname", "localhost"]);
    client.args(["--x509cafile", tested.ca.name(), "--priority", priority]);
    if let Some([cert, key]) = own {
        client.args(["--x509certfile", cert.name(), "--x509keyfile", key.name()]);
    }
    client.args(["--port", &tested.server.address().port().to_string(), "127.0.0.1"]);
    client
}

fn python(tested: &Tested, version: &str, own: Option<&[TempFile; 2]>) -> Command {
    const CLIENT: &str = "
import socket, ssl, sys
port, ca, version, *own = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
tls.minimum_version = tls.maximum_version = getattr(ssl.TLSVersion, version)
if own:
    tls.load_cert_chain(*own)
with tls.wrap_socket(socket.create_connection(('127.0.0.1', port)), server_hostname='localhost') as s:
    s.sendall(sys.stdin.buffer.readline())
    print(s.makefile().readline(), end='', flush=True)
    s.unwrap()
";
    let port = tested.server.address().port().to_string();
    let mut client = Command::new("python3");
    client.args(["-c", CLIENT, &port, tested.ca.name(), version]);
    client.args(own.into_iter().flatten().map(TempFile::name));
    client
}

type Client = fn(&Tested, &str, Option<&[TempFile; 2]>) -> Command;

/// Both versions without certificates; then with one, without one, and with one that is revoked.
fn check(client: Client, versions: [&str; 2]) {
    let tested = Tested::start(false);
    for version in versions {
        assert_eq!(ask(&mut client(&tested, version, None)), "by way of others", "{version}");
    }
    assert_eq!(tested.server.metric("towline_connections_closed_total{reason=\"tls_error\"}"), 0.0);
    let tested = Tested::start(true);
    for version in versions {
        let known = ask(&mut client(&tested, version, Some(&tested.own)));
        assert_eq!(known, "by way of others", "{version}");
        assert_eq!(ask(&mut client(&tested, version, None)), "", "{version}");
        assert_eq!(ask(&mut client(&tested, version, Some(&tested.revoked))), "", "{version}");
    }
    tested.ended("tls_error", 4.0);
}

#[test]
fn gnutls_verifies_and_is_verified() {
    if can("gnutls-cli --version") {
        check(gnutls, ["NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.3"]);
    }
}

#[test]
fn python_verifies_and_is_verified() {
    if can("python3 --version") {
        check(python, ["TLSv1_2", "TLSv1_3"]);
    }
}
