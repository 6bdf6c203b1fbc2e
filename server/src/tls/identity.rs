//! What is known of a client and of its connection.

use std::fmt::Write as _;

use rustls::{CommonState, HandshakeKind, ProtocolVersion, pki_types::CertificateDer};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::certificate::{alternative_names, dns_names};

/// How a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TlsInfo {
    version: &'static str,
    cipher: &'static str,
    server_name: Option<String>,
    resumed: bool,
}

impl TlsInfo {
    pub(crate) fn of(connection: &CommonState, server_name: Option<String>) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        };
        let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Self {
            version,
            cipher: cipher.unwrap_or("unknown"),
            server_name,
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// The version of TLS: `1.2` or `1.3`.
    pub const fn version(&self) -> &'static str {
        self.version
    }

    /// The cipher suite, as IANA names it: `TLS13_AES_256_GCM_SHA384`.
    pub const fn cipher(&self) -> &'static str {
        self.cipher
    }

    /// The name of the server that the client asked for (SNI), if it sent one.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether the session was resumed with a ticket, without certificates being sent.
    pub const fn is_resumed(&self) -> bool {
        self.resumed
    }
}

/// Who a client is, by its verified certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Identity {
    common_name: Option<String>,
    dns_names: Vec<String>,
    uris: Vec<String>,
    serial: String,
    der: Vec<u8>,
}

impl Identity {
    /// Of a certificate; `None` if it cannot be parsed.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let common_name = parsed.subject().iter_common_name().next();
        let uris = alternative_names(&parsed).filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let mut serial = String::new();
        for byte in parsed.raw_serial() {
            let _ = write!(serial, "{byte:02x}");
        }
        Some(Self {
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            dns_names: dns_names(&parsed).map(str::to_owned).collect(),
            uris: uris.collect(),
            serial,
            der: der.to_vec(),
        })
    }

    /// The common name of the subject.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The DNS names among the subject alternative names.
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// The URIs among the subject alternative names; a SPIFFE ID is one.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The serial number, in lower-case hex.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The names by which a client may be allowed: DNS names, URIs, and the common name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let alternative = self.dns_names.iter().chain(&self.uris).map(String::as_str);
        alternative.chain(self.common_name())
    }

    /// One name, for the log: a URI, a DNS name, or the common name.
    pub(super) fn name(&self) -> &str {
        let alternative = self.uris.iter().chain(&self.dns_names).map(String::as_str);
        alternative.chain(self.common_name()).next().unwrap_or("a certificate without a name")
    }
}
