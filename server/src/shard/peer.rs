//! The peer of a connection.

use std::{fmt, net::SocketAddr};

use towline_middleware::connections::PeerAddress;

/// The other end of a connection.
///
/// `Display` is its address, or `unix` over a UNIX socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    address: PeerAddress,
}

impl Peer {
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        Self { address: address.into() }
    }

    /// The peer's address; `None` over a UNIX socket.
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
