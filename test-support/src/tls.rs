//! Certificates made for a test, and a client that speaks TLS.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use crate::PATIENCE;

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, and what it was signed by if that is not a root.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// What a certificate says.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The common name.
    pub common_name: String,
    /// DNS names.
    pub dns: Vec<String>,
    /// URIs.
    pub uris: Vec<String>,
    /// The serial number.
    pub serial: u64,
    /// Whether it has expired.
    pub expired: bool,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate for these DNS names.
    pub fn sign_names(&self, names: &[&str]) -> Pair {
        let dns = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(&Subject { common_name: names[0].to_owned(), dns, ..Subject::default() })
    }

    /// Signs a certificate.
    pub fn sign(&self, subject: &Subject) -> Pair {
        let mut params = CertificateParams::new(subject.dns.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
        let uris = subject.uris.iter();
        params
            .subject_alt_names
            .extend(uris.map(|uri| SanType::URI(uri.as_str().try_into().unwrap())));
        if subject.serial != 0 {
            params.serial_number = Some(SerialNumber::from(subject.serial));
        }
        if subject.expired {
            (params.not_before, params.not_after) =
                (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 2, 2));
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A list that revokes the certificates with these serial numbers, in PEM.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// How a client speaks TLS. A clone resumes the sessions of all clones.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Trusts `authority`, and shows the certificate `own` if there is one.
    pub fn new(authority: &Authority, own: Option<&Pair>) -> Self {
        Self::with_versions(authority, own, rustls::ALL_VERSIONS)
    }

    /// As [`new`](Self::new), with these versions of TLS alone.
    pub fn with_versions(
        authority: &Authority,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let chain = CertificateDer::pem_slice_iter(cert.as_bytes());
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        Self { config: Arc::new(config), name }
    }

    /// Asks for another name than `localhost`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = ServerName::try_from(name.to_owned()).unwrap();
        self
    }

    /// Connects, and makes the handshake.
    ///
    /// # Errors
    /// Those of the handshake.
    pub fn try_connect(&self, address: SocketAddr) -> io::Result<TlsStream> {
        self.handshake(address, |socket| socket)
    }

    /// As [`connect`](Self::connect), with a segment for each byte that is sent.
    #[track_caller]
    pub fn connect_by_bytes(&self, address: SocketAddr) -> TlsStream {
        self.handshake(address, ByBytes).unwrap()
    }

    fn handshake<S: io::Read + io::Write>(
        &self,
        address: SocketAddr,
        stream: impl Fn(TcpStream) -> S,
    ) -> io::Result<TlsStream> {
        self.handshake_on(TcpStream::connect(address)?, stream)
    }

    /// Makes the handshake on a connection that is open already.
    #[track_caller]
    pub fn begin(&self, socket: TcpStream) -> TlsStream {
        self.handshake_on(socket, |socket| socket).unwrap()
    }

    fn handshake_on<S: io::Read + io::Write>(
        &self,
        socket: TcpStream,
        stream: impl Fn(TcpStream) -> S,
    ) -> io::Result<TlsStream> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut connection = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(io::Error::other)?;
        connection.complete_io(&mut stream(socket.try_clone()?))?;
        Ok(TlsStream(StreamOwned::new(connection, socket)))
    }

    /// Connects, and makes the handshake.
    #[track_caller]
    pub fn connect(&self, address: SocketAddr) -> TlsStream {
        self.try_connect(address).unwrap()
    }

    /// The error of a connection that is refused: of the handshake, or of the first answer, because under TLS 1.3
    /// the client is done before the server has seen its certificate.
    #[track_caller]
    pub fn refusal(&self, address: SocketAddr) -> String {
        let refused = self.try_connect(address).and_then(|mut stream| {
            stream.0.write_all(b"x\n")?;
            stream.0.read_exact(&mut [0; 2])
        });
        refused.expect_err("the server accepted the client").to_string()
    }
}

/// A socket on which each write sends one byte.
struct ByBytes(TcpStream);

impl io::Read for ByBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl io::Write for ByBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A connection over TLS.
#[derive(Debug)]
pub struct TlsStream(pub StreamOwned<ClientConnection, TcpStream>);

impl TlsStream {
    /// Sends `question` and expects `answer`.
    #[track_caller]
    pub fn ask(&mut self, question: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) {
        self.0.write_all(question.as_ref()).unwrap();
        self.expect(answer);
    }

    /// Expects these bytes.
    #[track_caller]
    pub fn expect(&mut self, answer: impl AsRef<[u8]>) {
        let mut read = vec![0; answer.as_ref().len()];
        self.0.read_exact(&mut read).unwrap();
        assert_eq!(read.escape_ascii().to_string(), answer.as_ref().escape_ascii().to_string());
    }

    /// Sends a `close_notify`.
    pub fn close_notify(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }

    /// Expects these bytes and then the end, with a `close_notify`.
    #[track_caller]
    pub fn expect_end(&mut self, rest: impl AsRef<[u8]>) {
        let mut read = Vec::new();
        self.0.read_to_end(&mut read).unwrap();
        assert_eq!(read.escape_ascii().to_string(), rest.as_ref().escape_ascii().to_string());
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}
