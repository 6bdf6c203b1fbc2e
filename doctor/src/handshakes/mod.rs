//! How many TLS handshakes a core of this host computes.

#![allow(
    clippy::disallowed_types,
    reason = "the processor is measured: no clock of a runtime is here"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

/// A certificate for `localhost` with a P-256 key, valid for 100 years, and its key. They protect nothing:
/// handshakes are measured with them, in memory. Made with `openssl req -x509`.
const CERTIFICATE: &[u8] = include_bytes!("cert.der");
const KEY: &[u8] = include_bytes!("key.der");

/// How long each kind of handshake is measured, both sides together.
const MEASURED: Duration = Duration::from_millis(150);
/// Handshakes of each kind that are measured at most.
const HANDSHAKES_MAX: usize = 4_096;

/// TLS 1.3 handshakes per second that one core computes as the server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Handshakes {
    /// Full ones, with a P-256 certificate.
    pub full: f64,
    /// Those that resume a session with a ticket.
    pub resumed: f64,
}

impl Handshakes {
    /// Measures on the calling thread: a third of a second of handshakes between two buffers in memory, with
    /// the cryptography of the server. Only the server's half is counted. `None` if TLS cannot be set up.
    ///
    /// ```
    /// let rates = towline_doctor::Handshakes::measure().expect("TLS is built in");
    /// assert!(rates.full > 0.0 && rates.resumed > 0.0);
    /// ```
    pub fn measure() -> Option<Self> {
        let server = Arc::new(server()?);
        let full = rate(&server, &Arc::new(client(false)?))?;
        let resumed = rate(&server, &Arc::new(client(true)?))?;
        Some(Self { full, resumed })
    }
}

fn server() -> Option<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_no_client_auth()
        .with_single_cert(vec![CERTIFICATE.into()], PrivatePkcs8KeyDer::from(KEY).into())
        .ok()?;
    config.ticketer = ring::Ticketer::new().ok()?;
    Some(config)
}

fn client(resumes: bool) -> Option<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE)).ok()?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Some(config)
}

/// Handshakes per second, from the median: a thread that was suspended once does not count.
fn rate(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Option<f64> {
    // The first one brings the ticket that the second resumes.
    handshake(server, client)?;
    let began = Instant::now();
    let mut spent = Vec::new();
    while spent.is_empty() || began.elapsed() < MEASURED && spent.len() < HANDSHAKES_MAX {
        spent.push(handshake(server, client)?);
    }
    spent.sort_unstable();
    Some(1.0 / spent[spent.len() / 2].as_secs_f64().max(1e-9))
}

/// Makes a handshake, tickets included; returns the time that the server took.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Option<Duration> {
    let name = ServerName::try_from("localhost").ok()?;
    let mut client = Connection::from(ClientConnection::new(Arc::clone(client), name).ok()?);
    let began = Instant::now();
    let mut server = Connection::from(ServerConnection::new(Arc::clone(server)).ok()?);
    let mut spent = began.elapsed();
    let mut to_server = exchange(&mut client, &[])?;
    while !to_server.is_empty() {
        let began = Instant::now();
        let to_client = exchange(&mut server, &to_server)?;
        spent += began.elapsed();
        to_server = exchange(&mut client, &to_client)?;
    }
    (!client.is_handshaking() && !server.is_handshaking()).then_some(spent)
}

/// Hands a side what the other one has sent; returns its answer.
fn exchange(side: &mut Connection, mut received: &[u8]) -> Option<Vec<u8>> {
    while !received.is_empty() {
        side.read_tls(&mut received).ok()?;
        side.process_new_packets().ok()?;
    }
    let mut answer = Vec::new();
    while side.wants_write() {
        side.write_tls(&mut answer).ok()?;
    }
    Some(answer)
}
