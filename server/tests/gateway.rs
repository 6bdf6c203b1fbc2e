//! The example `gateway`, with devices of rustls, of OpenSSL and of Python.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/gateway.rs"]
mod gateway;

mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use gateway::{Gateway, RATE};
use support::TestServer;
use towline::{Server, Tls};
use towline_test_support::{
    TempFile, require,
    tls::{Authority, Pair, Subject, TlsClient},
};

const TLS_ERRORS: &str = "towline_connections_closed_total{reason=\"tls_error\"}";

/// A gateway for `boiler` and `meter`, whose authority revoked the certificate with the serial number 66.
struct Tested {
    authority: Authority,
    server: TestServer,
    _files: [TempFile; 4],
}

impl Tested {
    fn start() -> Self {
        let authority = Authority::new("devices");
        let own = authority.sign_names(&["localhost"]);
        let files = [own.cert, own.key, authority.pem(), authority.revoke(&[66])];
        let files = files.map(TempFile::new);
        let [cert, key, ca, crl] = files.each_ref().map(TempFile::path);
        let tls = Tls::files(cert, key).clients_of(ca).revoked_in(crl);
        let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
        let server = gateway::server(builder, tls, Gateway::new(["boiler", "meter"]));
        let server = TestServer::new(server.start().unwrap());
        Self { authority, server, _files: files }
    }

    /// A certificate that calls a device by its SPIFFE ID.
    fn device(&self, name: &str, serial: u64) -> Pair {
        let uris = vec![format!("spiffe://example/device/{name}")];
        self.authority.sign(&Subject {
            common_name: "any".into(),
            uris,
            serial,
            ..Subject::default()
        })
    }

    fn client(&self, own: Option<&Pair>) -> TlsClient {
        TlsClient::new(&self.authority, own)
    }

    /// What a device is told that connects.
    fn refusal(&self, own: &Pair, said: &str) {
        self.client(Some(own)).connect(self.server.address).expect_end(said);
    }
}

#[test]
fn a_device_is_who_its_certificate_says() {
    let tested = Tested::start();
    let by_dns = tested.authority.sign_names(&["meter.devices.example"]);
    for (own, name) in [(tested.device("boiler", 7), "boiler"), (by_dns, "meter")] {
        let mut device = tested.client(Some(&own)).connect(tested.server.address);
        device.ask(
            "WHO\nSET temp 21.5\nSET temp 23.5\nSET temp hot\nLAST temp\nLAST rpm\n",
            format!(
                "{name}\nOK\nOK\nERR argument 2 is not a number\n23.5 after 2\nERR never set\n"
            ),
        );
    }
}

#[test]
fn a_device_that_is_not_known_is_told_so_and_one_without_a_valid_certificate_does_not_come_so_far()
{
    let tested = Tested::start();
    tested.refusal(&tested.device("toaster", 7), "ERR unknown device\n");
    for nameless in [tested.device("", 8), tested.authority.sign_names(&["boiler.example"])] {
        tested.refusal(&nameless, "ERR no device\n");
    }
    let stranger = Authority::new("devices").sign_names(&["boiler.devices.example"]);
    let revoked = tested.device("boiler", 66);
    for (own, alert) in [
        (None, "CertificateRequired"),
        (Some(&stranger), "alert"),
        (Some(&revoked), "CertificateRevoked"),
    ] {
        let refused = tested.client(own).refusal(tested.server.address);
        assert!(refused.contains(alert), "{alert}: {refused}");
    }
    tested.server.metrics_when(|metrics| metrics.get(TLS_ERRORS) == 3.0);
}

#[test]
fn the_rate_is_that_of_a_device_whatever_connections_it_has() {
    let tested = Tested::start();
    let (hasty, other) = (tested.device("boiler", 7), tested.device("meter", 8));
    let client = tested.client(Some(&hasty));
    let mut first = client.connect(tested.server.address);
    // A busy machine refills the rate meanwhile, but never as fast as this.
    let many = 100 * RATE as usize;
    first.0.write_all("SET n 1\n".repeat(many).as_bytes()).unwrap();
    first.close_notify();
    let mut replies = String::new();
    std::io::Read::read_to_string(&mut first.0, &mut replies).unwrap();
    let refused = replies.lines().filter(|reply| *reply == "ERR too fast").count();
    assert_eq!(replies.lines().count(), many);
    assert!(refused > many / 2 && replies.starts_with("OK\n"), "{refused} of {many}");
    tested.client(Some(&other)).connect(tested.server.address).ask("SET n 1\n", "OK\n");
}

#[test]
fn s_client_of_openssl_and_python_are_devices() {
    const PYTHON: &str = "
import socket, ssl, sys
port, ca, cert, key = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
tls.load_cert_chain(cert, key)
with tls.wrap_socket(socket.create_connection(('127.0.0.1', port)), server_hostname='localhost') as s:
    s.sendall(b'WHO\\nSET temp 21.5\\nQUIT\\n')
    print(s.makefile().read(), end='')
";
    let tested = Tested::start();
    let Pair { cert, key } = tested.device("boiler", 7);
    let [ca, cert, key] = [tested.authority.pem(), cert, key].map(TempFile::new);
    let address = tested.server.address;
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"]);
    openssl.args(["-CAfile", ca.name(), "-cert", cert.name(), "-key", key.name()]);
    openssl.args(["-connect", &address.to_string()]);
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON, &address.port().to_string(), ca.name(), cert.name(), key.name()]);
    for mut client in [openssl, python] {
        let spawned =
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let program = client.get_program().to_string_lossy().into_owned();
        let Some(mut process) = require(&program, spawned) else { continue };
        let mut input = process.stdin.take().unwrap();
        // Python has them in its program.
        let _ = input.write_all(b"WHO\nSET temp 21.5\nQUIT\n");
        let output = process.wait_with_output().unwrap();
        drop(input);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said,
            "boiler\nOK\nbye\n",
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
