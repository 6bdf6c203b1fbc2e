//! What handshakes are made with.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};
use towline_config::{Tls, TlsVersion};

use super::{by_name::ByName, certificate::Certificate, clients::Clients, material::Material};
use crate::RunError;

/// TLS as a server speaks it: its certificates, and which clients may come. Replaced as a whole.
pub struct TlsServer {
    config: Arc<ServerConfig>,
    /// The end of the validity of each certificate, in seconds since 1970.
    expiries: Vec<i64>,
}

impl TlsServer {
    /// Checks material and settings, and makes what handshakes need.
    ///
    /// A session that was begun before, with another `TlsServer`, is not resumed: a client that may no longer come
    /// would otherwise come with its ticket.
    ///
    /// # Errors
    /// With what is wrong with which file.
    pub fn new(material: &Material, settings: &Tls) -> Result<Arc<Self>, RunError> {
        let provider = Arc::new(ring::default_provider());
        let certificates = material
            .pairs
            .iter()
            .map(|pair| Certificate::load(pair, &provider))
            .collect::<Result<Vec<_>, _>>()?;
        let expiries = certificates.iter().map(|certificate| certificate.not_after).collect();
        let clients = Clients::new(material, settings, &provider)?;
        let versions = match settings.min_version {
            TlsVersion::V13 => &[&TLS13][..],
            _ => &[&TLS13, &TLS12],
        };
        let unusable = |error: rustls::Error| {
            RunError::failed("TLS cannot be set up", &std::io::Error::other(error))
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(unusable)?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(certificates)));
        // Tickets alone: the server keeps nothing of sessions that may be resumed. Their keys are replaced every
        // six hours, and the ones before still hold for as long.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(unusable)?;
        config.send_tls13_tickets = 1;
        Ok(Arc::new(Self { config: Arc::new(config), expiries }))
    }

    /// What a handshake is made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// The end of the validity of each certificate, in seconds since 1970, in the order of `tls.cert`.
    pub fn expiries(&self) -> &[i64] {
        &self.expiries
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer").field("expiries", &self.expiries).finish_non_exhaustive()
    }
}
