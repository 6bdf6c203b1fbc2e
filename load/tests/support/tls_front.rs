//! TLS in front of a server without it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use towline_load::{TlsPlan, TlsTrust};
use towline_test_support::tls::Authority;
use towline_test_support::{LineServer, TempFile};

/// How the front treats connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Front {
    /// A client certificate is required.
    pub(crate) asks_for_certificate: bool,
    /// Bytes in front of the handshake, which are skipped.
    pub(crate) skip: usize,
    /// What is sent in one write with the end of the handshake.
    pub(crate) greeting: &'static [u8],
    /// The end of the server behind it is passed on without a `close_notify`.
    pub(crate) cuts: bool,
}

/// How a client ended its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Notified,
    Cut,
}

/// A listening front.
pub(crate) struct TlsServer {
    pub(crate) front: LineServer,
    pub(crate) authority: Authority,
    /// Its authority as a file.
    pub(crate) ca: TempFile,
    pub(crate) ends: Arc<Mutex<Vec<End>>>,
}

impl TlsServer {
    /// TLS in front of `back`.
    pub(crate) fn new(back: SocketAddr, front: Front) -> Self {
        let authority = Authority::new("authority");
        let config = Arc::new(config(&authority, front.asks_for_certificate));
        let ends = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ends);
        let listener = LineServer::with(move |stream| {
            if let Some(end) = serve(stream, back, &config, front) {
                seen.lock().unwrap().push(end);
            }
        });
        Self { front: listener, ca: TempFile::new(authority.pem()), authority, ends }
    }

    /// TLS of a client that trusts it.
    pub(crate) fn trusted(&self) -> TlsPlan {
        let mut tls = TlsPlan::new(TlsTrust::Authorities(self.ca.path().into()));
        tls.name = Some("localhost".into());
        tls
    }
}

fn config(authority: &Authority, asks_for_certificate: bool) -> ServerConfig {
    let own = authority.sign_names(&["localhost"]);
    let chain =
        CertificateDer::pem_slice_iter(own.cert.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap();
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.ticketer = ring::Ticketer::new().unwrap();
    config
}

/// Passes bytes on in both directions until both have ended; `None` if there was no session.
fn serve(
    mut client: TcpStream,
    back: SocketAddr,
    config: &Arc<ServerConfig>,
    front: Front,
) -> Option<End> {
    client.set_nodelay(true).unwrap();
    client.read_exact(&mut vec![0; front.skip]).ok()?;
    let mut tls = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut out = client.try_clone().unwrap();
    while tls.is_handshaking() {
        let read = tls.read_tls(&mut client).unwrap_or(0);
        let failed = read == 0 || tls.process_new_packets().is_err();
        if !tls.is_handshaking() {
            tls.writer().write_all(front.greeting).unwrap();
        }
        while tls.wants_write() && tls.write_tls(&mut out).is_ok() {}
        if failed {
            return None;
        }
    }
    let mut server = TcpStream::connect(back).unwrap();
    server.set_nodelay(true).unwrap();
    let tls = Arc::new(Mutex::new(tls));
    let replies = {
        let (tls, mut server) = (Arc::clone(&tls), server.try_clone().unwrap());
        thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = server.read(&mut chunk) {
                let mut tls = tls.lock().unwrap();
                tls.writer().write_all(&chunk[..count]).unwrap();
                while tls.wants_write() && tls.write_tls(&mut out).is_ok() {}
            }
            let mut tls = tls.lock().unwrap();
            if !front.cuts {
                tls.send_close_notify();
                let _ = tls.write_tls(&mut out);
            }
            let _ = out.shutdown(Shutdown::Both);
        })
    };
    let end = requests(client, &mut server, &tls);
    let _ = server.shutdown(Shutdown::Write);
    replies.join().unwrap();
    Some(end)
}

fn requests(mut client: TcpStream, server: &mut TcpStream, tls: &Mutex<ServerConnection>) -> End {
    let (mut cipher, mut plain) = ([0; 8 * 1024], [0; 16 * 1024]);
    let mut rest = &[][..];
    loop {
        let mut session = tls.lock().unwrap();
        let Ok(state) = session.process_new_packets() else { return End::Cut };
        // The first lines may have come with the end of the handshake.
        let count = session.reader().read(&mut plain).unwrap_or(0);
        drop(session);
        let _ = server.write_all(&plain[..count]);
        if count > 0 {
            continue;
        }
        if state.peer_has_closed() {
            return End::Notified;
        }
        if rest.is_empty() {
            let Ok(count @ 1..) = client.read(&mut cipher) else { return End::Cut };
            rest = &cipher[..count];
        }
        tls.lock().unwrap().read_tls(&mut rest).unwrap();
    }
}
