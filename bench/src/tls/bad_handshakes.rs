//! Stalled and failing handshakes beside well-behaved clients, which are connected already.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{LocalSet, spawn_local},
    time::sleep,
};

use super::{
    client::{Connector, next_source},
    keys::{Keys, NAME},
};
use crate::{
    Error,
    child::{LOAD_CORE, on_core},
    client::connect_from,
    faults::{Finding, priority, well_behaved::ClientReport},
    launcher::Launcher,
    observed_server::ObservedServer,
    ratio::Plan,
};

pub(super) const WHAT: &str = "1,000 clients whose handshakes stall, come a byte a second, are no TLS or fail by \
                               an unknown authority, 250 of each, which come back when they are closed";

/// Clients of each kind.
const EACH: u64 = 250;

/// Pause of a client before it comes back.
const PAUSE: Duration = Duration::from_millis(100);

/// Time for the server's memory to grow under the handshakes.
const SETTLE: Duration = Duration::from_secs(3);

/// Most resident memory for each of them, in bytes: a handshake holds what the client sent, and what is computed of
/// it.
const RESIDENT_EACH_MAX: u64 = 24 * 1024;

/// Time for which the well-behaved clients are measured.
const MEASURED: Duration = Duration::from_secs(4);

/// Measures the well-behaved clients without and with the others.
pub(super) fn run(launcher: &Launcher, keys: &Keys, _: Plan) -> Result<Vec<Finding>, Error> {
    let towline = launcher.towline.path.as_deref().ok_or("no towline binary")?;
    let tls = keys.flags();
    let own = ["--listen", "127.0.0.1:0,tls=off", "--handshake-deadline", "3s"];
    let flags = [&tls.each_ref().map(String::as_str)[..], &own].concat();
    let server = ObservedServer::start(towline, &flags)?;
    let plain = server.second_addr()?;
    let measure = |times| ClientReport::measure(towline, plain, true, MEASURED, times);
    let alone = measure(3)?;
    let rest = server.snapshot()?;
    let bad = BadClients::start(server.addr)?;
    thread::sleep(SETTLE);
    let peak = server.snapshot()?;
    let beside = measure(3)?;
    let refused = bad.stop()?;
    let left = server.snapshot_at_rest(SETTLE)?;

    let allowed = (2.0 * alone.p99_ms).max(alone.p99_ms + 1.0);
    let each = peak.resident_bytes.saturating_sub(rest.resident_bytes) / (4 * EACH);
    let closed = |reason: &str| {
        let of = |counts: &std::collections::BTreeMap<String, u64>| counts.get(reason).copied();
        of(&left.closed).unwrap_or(0) - of(&rest.closed).unwrap_or(0)
    };
    let (failed, late) = (closed("tls_error"), closed("handshake_timeout"));
    Ok(vec![
        Finding {
            demanded: format!("p99 of the well-behaved ≤ {allowed:.2} ms"),
            measured: format!("{:.2} ms (alone {:.2})", beside.p99_ms, alone.p99_ms),
            met: beside.p99_ms <= allowed,
        },
        Finding {
            demanded: "0 errors, 90 % of their lines".into(),
            measured: format!("{} errors, {:.1} %", beside.failures, 100.0 * beside.share),
            met: beside.failures == 0 && beside.share >= 0.9,
        },
        Finding {
            demanded: format!("resident memory each ≤ {RESIDENT_EACH_MAX} bytes"),
            measured: format!("{each} bytes"),
            met: each <= RESIDENT_EACH_MAX,
        },
        Finding {
            demanded: "each kind is closed for its reason".into(),
            measured: format!("`tls_error` {failed}, `handshake_timeout` {late}, {refused} alerts"),
            met: failed >= 2 * EACH && late >= 2 * EACH && refused > 0,
        },
        Finding {
            demanded: "nothing left behind".into(),
            measured: format!("{} connections", left.open),
            met: left.open == 0,
        },
    ])
}

/// Clients on a thread of their own.
struct BadClients {
    ends: Arc<AtomicBool>,
    /// Those that refused the server's certificate.
    refused: Arc<AtomicU64>,
    thread: thread::JoinHandle<Result<(), String>>,
}

impl BadClients {
    fn start(addr: SocketAddr) -> Result<Self, Error> {
        let (ends, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stop, count) = (ends.clone(), refused.clone());
        let (hello, stranger) = (client_hello()?, stranger(addr)?);
        let thread = on_core(LOAD_CORE, || {
            thread::spawn(move || {
                priority::make_thread_idle();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                LocalSet::new().block_on(&runtime, async {
                    for _ in 0..EACH {
                        let hello = hello.clone();
                        spawn_local(repeat(async move || stalled(addr, &hello).await));
                    }
                    for _ in 0..EACH {
                        let hello = hello.clone();
                        spawn_local(repeat(async move || trickle(addr, &hello).await));
                    }
                    for _ in 0..EACH {
                        spawn_local(repeat(async move || garbage(addr).await));
                    }
                    for _ in 0..EACH {
                        let (stranger, count) = (stranger.clone(), count.clone());
                        spawn_local(repeat(async move || {
                            if let Err(error) = stranger.connect().await
                                && error.kind() == io::ErrorKind::InvalidData
                            {
                                count.fetch_add(1, Relaxed);
                            }
                            Ok(())
                        }));
                    }
                    while !stop.load(Relaxed) {
                        sleep(PAUSE).await;
                    }
                });
                Ok(())
            })
        });
        Ok(Self { ends, refused, thread })
    }

    /// Ends them; returns how often one refused the server's certificate.
    fn stop(self) -> Result<u64, Error> {
        self.ends.store(true, Relaxed);
        self.thread.join().map_err(|_panic| "the thread of the bad clients panicked")??;
        Ok(self.refused.load(Relaxed))
    }
}

/// Acts again and again. That a connection fails is what these clients are for.
async fn repeat(act: impl AsyncFn() -> io::Result<()>) {
    loop {
        let _ = act().await;
        sleep(PAUSE).await;
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = connect_from(next_source(), addr)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// Sends half of a ClientHello, and waits for the close.
async fn stalled(addr: SocketAddr, hello: &[u8]) -> io::Result<()> {
    let mut stream = connect(addr)?;
    stream.write_all(&hello[..hello.len() / 2]).await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Sends a byte each second, until the connection is closed.
async fn trickle(addr: SocketAddr, hello: &[u8]) -> io::Result<()> {
    let mut stream = connect(addr)?;
    for byte in hello {
        stream.write_all(std::slice::from_ref(byte)).await?;
        sleep(Duration::from_secs(1)).await;
    }
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Sends what is no TLS, and waits for the close.
async fn garbage(addr: SocketAddr) -> io::Result<()> {
    let mut stream = connect(addr)?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

/// Connects, trusting an authority that did not sign the server's certificate.
fn stranger(addr: SocketAddr) -> Result<Connector, Error> {
    let key = KeyPair::generate()?;
    let other = CertificateParams::new([NAME.to_owned()])?.self_signed(&key)?;
    Connector::new(other.der().clone(), addr, true)
}

/// What a client sends first.
fn client_hello() -> Result<Vec<u8>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(NAME)?)?;
    let mut hello = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut hello)?;
    }
    Ok(hello)
}
