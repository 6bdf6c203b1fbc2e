//! Clients, and the thread that they run on.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, task::LocalSet, time::sleep};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::keys::NAME;
use crate::{
    Error,
    child::{LOAD_CORE, on_core},
    client::connect_from,
    clock,
    kernel::cpu_time,
};

/// A connection of a client.
pub(super) type Connection = TlsStream<TcpStream>;

/// Makes connections over TLS.
#[derive(Clone)]
pub(super) struct Connector {
    config: ClientConfig,
    tls: TlsConnector,
    addr: SocketAddr,
}

impl Connector {
    /// To `addr`, trusting `authority`. Sessions are resumed if the server gave tickets for them, unless `full`.
    pub(super) fn new(
        authority: CertificateDer<'static>,
        addr: SocketAddr,
        full: bool,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if full {
            config.resumption = Resumption::disabled();
        }
        Ok(Self::with(config, addr))
    }

    fn with(config: ClientConfig, addr: SocketAddr) -> Self {
        Self { tls: TlsConnector::from(Arc::new(config.clone())), config, addr }
    }

    /// The same without a look at the server's certificate: with it, a client would compute for longer than the server,
    /// which would wait for it between two handshakes.
    pub(super) fn without_verification(&self) -> Self {
        let mut config = self.config.clone();
        let schemes = config.crypto_provider().signature_verification_algorithms;
        config.dangerous().set_certificate_verifier(Arc::new(Unverified(schemes)));
        Self::with(config, self.addr)
    }

    /// The same with tickets of its own. rustls keeps eight for a server, too few for clients that share them.
    pub(super) fn with_own_tickets(&self) -> Self {
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(8);
        Self::with(config, self.addr)
    }

    /// Connects, and makes the handshake.
    pub(super) async fn connect(&self) -> io::Result<Connection> {
        let stream = connect_from(next_source(), self.addr)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let stream = TcpStream::from_std(stream)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        self.tls.connect(name, stream).await
    }
}

/// Accepts every certificate.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// An address of the loopback network, another one for each connection: a port that was used is free again after a
/// minute only.
pub(super) fn next_source() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, high, low, last] = NEXT.fetch_add(1, Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, low, last)
}

/// What the clients of a load count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    lines: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    latencies_ns: RefCell<Vec<u64>>,
}

impl Tally {
    /// Counts lines that came back.
    pub(super) fn add(&self, lines: u64) {
        self.lines.set(self.lines.get() + lines);
    }

    /// Counts a line that came back so long after it was sent.
    pub(super) fn add_after(&self, time: Duration) {
        self.add(1);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.latencies_ns.borrow_mut().push(nanos);
    }

    /// Counts what should not happen.
    pub(super) fn fail(&self, error: &impl ToString) {
        self.errors.set(self.errors.get() + 1);
        self.first_error.borrow_mut().get_or_insert_with(|| error.to_string());
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines.get()
    }

    /// An error if anything was counted that should not happen.
    pub(super) fn check(&self) -> Result<(), Error> {
        match (self.errors.get(), self.first_error.borrow().as_deref()) {
            (0, _) => Ok(()),
            (errors, first) => {
                Err(format!("{errors} errors, first: {}", first.unwrap_or_default()).into())
            }
        }
    }

    /// The latencies at these quantiles, in microseconds; 0 if none was counted.
    pub(super) fn quantiles_us<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let mut all = self.latencies_ns.borrow_mut();
        all.sort_unstable();
        quantiles.map(|quantile| {
            let at = (all.len() as f64 * quantile) as usize;
            all.get(at.min(all.len().saturating_sub(1))).map_or(0.0, |nanos| *nanos as f64 / 1e3)
        })
    }
}

/// What a window counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub(super) lines: u64,
    pub(super) seconds: f64,
    pub(super) server_cpu: Duration,
    pub(super) own_cpu: Duration,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// Counts for `run` after `warm`. The server has the processes `pids`.
pub(super) async fn window(
    tally: &Tally,
    pids: &[u32],
    warm: Duration,
    run: Duration,
) -> Result<Window, Error> {
    let server = || pids.iter().copied().map(cpu_time).sum::<Duration>();
    sleep(warm).await;
    let (cpu, own, began, lines) = (server(), clock::thread_cpu(), clock::now(), tally.lines());
    tally.latencies_ns.borrow_mut().clear();
    sleep(run).await;
    let window = Window {
        lines: tally.lines() - lines,
        seconds: clock::now().saturating_sub(began).as_secs_f64(),
        server_cpu: server().saturating_sub(cpu),
        own_cpu: clock::thread_cpu().saturating_sub(own),
        ..Window::default()
    };
    tally.check()?;
    let [p50_us, p99_us] = tally.quantiles_us([0.5, 0.99]);
    if window.lines == 0 {
        return Err("no line came back".into());
    }
    Ok(Window { p50_us, p99_us, ..window })
}

/// Runs clients on a thread of their own, on the load's core, until `main` is done; the tasks that it spawned end
/// then.
pub(super) fn on_load_core<T: Send + 'static>(
    main: impl AsyncFnOnce(Rc<Tally>) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let thread = on_core(LOAD_CORE, || {
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let done = LocalSet::new().block_on(&runtime, main(Rc::default()));
            done.map_err(|error| error.to_string())
        })
    });
    let done = thread.join().map_err(|_panic| "the thread of the clients panicked")?;
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let tally = Tally::default();
        assert_eq!(tally.quantiles_us([0.5]), [0.0]);
        (1..=100).for_each(|micros| tally.add_after(Duration::from_micros(micros)));
        assert_eq!(tally.quantiles_us([0.5, 0.99]), [51.0, 100.0]);
        assert_eq!(tally.lines(), 100);
    }

    #[test]
    fn the_first_error_is_said() {
        let tally = Tally::default();
        assert!(tally.check().is_ok());
        tally.fail(&"one");
        tally.fail(&"two");
        assert_eq!(tally.check().unwrap_err().to_string(), "2 errors, first: one");
    }
}
