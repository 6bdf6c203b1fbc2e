//! TLS of a server that a program builds.

use std::path::PathBuf;

use towline_config::{ClientAuth, Settings, TlsVersion};

use super::material::{Material, Pem};

/// The name of what stands in no file.
const GIVEN: &str = "(given by the program)";

/// TLS for [`Builder::tls`](crate::Builder::tls): certificates, and which clients may come.
///
/// *Does*: TLS 1.2 and 1.3, resumption by tickets whose keys are replaced every six hours, client certificates.
/// *Does not*: ALPN, early data, or sessions that the server remembers. *Costs*: at most 12 KiB of memory a connection.
///
/// ```no_run
/// # use std::convert::Infallible;
/// use towline::{Lines, Peer, RunError, Server, Tls, service_fn};
///
/// # fn main() -> Result<(), RunError> {
/// let tls = Tls::files("server.crt", "server.key").clients_of("devices-ca.crt");
/// Server::builder()
///     .listen("127.0.0.1:9443")
///     .tls(tls)
///     .serve_with(|peer: Peer| {
///         let name = peer.identity().and_then(|client| client.common_name()).map(str::to_owned);
///         service_fn(move |lines: Lines| {
///             println!("from {name:?}");
///             async move { Ok::<_, Infallible>(lines) }
///         })
///     })
///     .run()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until a builder has it"]
pub struct Tls {
    given: Option<(Pem, Pem)>,
    files: Vec<(PathBuf, PathBuf)>,
    settings: towline_config::Tls,
    client_ca: Option<Pem>,
    reads_once: bool,
}

impl Tls {
    fn new() -> Self {
        Self {
            given: None,
            files: Vec::new(),
            settings: <_>::default(),
            client_ca: None,
            reads_once: false,
        }
    }

    /// The certificate chain and the private key in these files, in PEM. They are read when the server starts, and
    /// again when they have changed, unless it is told to [`read_once`](Self::read_once).
    pub fn files(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let mut tls = Self::new();
        tls.files.push((cert.into(), key.into()));
        tls
    }

    /// This certificate chain and private key, in PEM.
    pub fn pem(cert: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let given = Some((Pem::new(GIVEN, cert), Pem::new(GIVEN, key)));
        Self { given, ..Self::new() }
    }

    /// Clients need a certificate that an authority in this file signed. Default: clients need none.
    pub fn clients_of(mut self, ca: impl Into<PathBuf>) -> Self {
        self.settings.client_ca = Some(ca.into());
        self
    }

    /// As [`clients_of`](Self::clients_of), with the authorities in PEM. For [`pem`](Self::pem).
    pub fn clients_of_pem(mut self, ca: impl Into<Vec<u8>>) -> Self {
        self.client_ca = Some(Pem::new(GIVEN, ca));
        self
    }

    /// Clients whose certificates are in these lists of revoked ones are refused: PEM, one list for each authority that
    /// has one. Default: none is revoked. For [`clients_of`](Self::clients_of).
    pub fn revoked_in(mut self, crl: impl Into<PathBuf>) -> Self {
        self.settings.client_crl = Some(crl.into());
        self
    }

    /// A client without a certificate is served, without an [identity](crate::Peer::identity). Default: it is
    /// refused.
    pub const fn clients_optional(mut self) -> Self {
        self.settings.client_auth = ClientAuth::Optional;
        self
    }

    /// Of the clients that have a certificate only those come whose DNS name, URI or common name is like one of
    /// these patterns, in which `*` stands for any number of characters. Default: all.
    pub fn allow<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.client_allow.extend(names.into_iter().map(Into::into));
        self
    }

    /// Speaks no version before this one. Default: 1.2.
    pub const fn min_version(mut self, version: TlsVersion) -> Self {
        self.settings.min_version = version;
        self
    }

    /// Reads the files when the server starts, and not again. Default: files are looked at every two seconds, and read
    /// again when one has changed. Connections that are open stay; a pair that does not match, as between the writes of
    /// its two files, keeps the one before, with an error in the log and as
    /// `towline_tls_last_reload_successful`.
    pub const fn read_once(mut self) -> Self {
        self.reads_once = true;
        self
    }

    /// Whether there are files, which are looked at while the server runs.
    pub(crate) const fn watches_files(&self) -> bool {
        self.given.is_none() && !self.reads_once
    }

    /// What it sets, and the material that stands in no file.
    pub(crate) fn into_settings(self, settings: &mut Settings) {
        let Self { given, files, settings: mut tls, client_ca, reads_once: _ } = self;
        (tls.cert, tls.key) = files.into_iter().unzip();
        // Shown in the place of a path.
        if given.is_some() {
            (tls.cert, tls.key) = (vec![GIVEN.into()], vec![GIVEN.into()]);
            tls.client_ca = client_ca.map(|_| GIVEN.into());
        }
        settings.tls = tls;
    }

    /// The material, if it stands in no file.
    pub(crate) fn material(&self) -> Option<Material> {
        let pair = self.given.clone()?;
        let client_ca = self.client_ca.clone();
        Some(Material { pairs: vec![pair], client_ca, client_crl: None })
    }
}
