//! The peer of a connection.

use std::net::SocketAddr;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: Option<SocketAddr>,
}

impl Peer {
    pub(super) const fn new(address: Option<SocketAddr>) -> Self {
        Self { address }
    }

    /// The peer's address; `None` over a UNIX socket.
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}
