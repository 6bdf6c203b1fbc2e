//! What a header says.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a load balancer said of a connection that it passes on, in a PROXY header.
///
/// Only a header of a trusted source is believed, so these are as true as that source is honest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Proxied {
    /// The client; `None` for a connection of the balancer itself, such as a health check, and for one of a family
    /// that the header does not say.
    pub source: Option<Endpoint>,
    /// What the client connected to.
    pub destination: Option<Endpoint>,
    /// Whether the balancer opened the connection for itself (`LOCAL`).
    pub local: bool,
    /// Identifies the connection in the balancer's log, up to 128 bytes.
    pub unique_id: Option<Box<[u8]>>,
    /// The host name that the client asked for, as in SNI.
    pub authority: Option<Box<str>>,
    /// How the client spoke TLS to the balancer, if it did.
    pub tls: Option<ProxiedTls>,
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and port.
    Ip(SocketAddr),
    /// The path of a UNIX socket; empty for one without a name.
    Unix(PathBuf),
}

/// How a client spoke TLS to a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct ProxiedTls {
    /// Whether the client gave a certificate and the balancer verified it.
    pub verified: bool,
    /// `TLSv1.3`
    pub version: Option<Box<str>>,
    /// The cipher suite.
    pub cipher: Option<Box<str>>,
    /// The common name of the client's certificate.
    pub common_name: Option<Box<str>>,
}

impl Proxied {
    /// The client's address, if the header says one.
    pub fn source_address(&self) -> Option<SocketAddr> {
        self.source.as_ref().and_then(Endpoint::ip)
    }
}

impl Endpoint {
    /// The address; `None` of a UNIX socket.
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
