//! The peer of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use towline_middleware::connections::PeerAddress;

use crate::{accept::Accepted, proxy_protocol::Proxied};

/// The other end of a connection.
///
/// `Display` is its address, or `unix` over a UNIX socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    address: PeerAddress,
    /// `None` for most, so that those cost nothing.
    facts: Option<Arc<PeerFacts>>,
}

/// What is known of some peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct PeerFacts {
    proxied: Option<Box<Proxied>>,
    unix: Option<UnixCredentials>,
    /// How the connection is encrypted.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::TlsInfo>,
    /// Who the client is, by its certificate.
    #[cfg(feature = "tls")]
    pub(crate) identity: Option<crate::tls::Identity>,
}

/// The process at the other end of a UNIX socket, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnixCredentials {
    /// The process.
    pub pid: i32,
    /// The user that it ran as.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Peer {
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        Self { address: address.into(), facts: None }
    }

    /// Whether it resumed a TLS session.
    pub(crate) fn is_resumed(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls().is_some_and(crate::tls::TlsInfo::is_resumed);
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// How the connection is encrypted; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&crate::tls::TlsInfo> {
        self.facts.as_ref()?.tls.as_ref()
    }

    /// Who the client is, by the certificate that it sent and that an authority of `tls.client_ca` signed; `None`
    /// if it sent none.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&crate::tls::Identity> {
        self.facts.as_ref()?.identity.as_ref()
    }

    /// The peer of an accepted socket.
    ///
    /// *Costs*: a system call for a UNIX socket.
    pub(crate) fn of(accepted: &Accepted) -> Self {
        let peer = Self::new(accepted.peer);
        if accepted.peer.is_some() {
            return peer;
        }
        let credentials = rustix::net::sockopt::socket_peercred(&accepted.socket).ok();
        let unix = credentials.map(|credentials| UnixCredentials {
            pid: credentials.pid.as_raw_nonzero().get(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        });
        peer.with(|facts| facts.unix = unix)
    }

    /// The client of which a load balancer said `proxied`. Without an address in it, the address stays that of the
    /// balancer.
    pub(crate) fn behind(self, proxied: Proxied) -> Self {
        let mut peer = self;
        if let Some(client) = proxied.source_address() {
            peer.address = Some(client).into();
        }
        peer.with(|facts| facts.proxied = Some(Box::new(proxied)))
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut PeerFacts)) -> Self {
        change(Arc::make_mut(self.facts.get_or_insert_default()));
        self
    }

    /// What a load balancer said of the connection in its PROXY header; `None` without one.
    pub fn proxied(&self) -> Option<&Proxied> {
        self.facts.as_ref()?.proxied.as_deref()
    }

    /// The process at the other end of a UNIX socket; `None` over TCP.
    pub fn unix_credentials(&self) -> Option<UnixCredentials> {
        self.facts.as_ref()?.unix
    }

    /// The peer's address; `None` over a UNIX socket. Behind a load balancer whose PROXY header is believed, it is
    /// that of the client.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self.address {
            PeerAddress::Unix => None,
            PeerAddress::Ip(address) => Some(address),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_written_as_its_address() {
        let peer = Peer::new(Some(([127, 0, 0, 1], 5000).into()));
        assert_eq!((peer.to_string(), format!("{peer:?}")), {
            ("127.0.0.1:5000".to_owned(), "Peer(127.0.0.1:5000)".to_owned())
        });
        assert_eq!(format!("{:<6}|", Peer::new(None)), "unix  |");
    }
}
