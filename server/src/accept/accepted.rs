//! An accepted connection before it is served.

use std::{
    net::{Shutdown, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SendFlags, send, sockopt};
use socket2::SockRef;

/// A connection as accepted: non-blocking, with the socket options inherited from its listener.
#[derive(Debug)]
pub struct Accepted {
    /// The connected socket.
    pub socket: OwnedFd,
    /// The peer's address; `None` over a UNIX socket.
    pub peer: Option<SocketAddr>,
}

/// Sends a connection one last line and half-closes it, without blocking.
pub(crate) fn say_goodbye(socket: &OwnedFd, line: &[u8]) {
    // A peer that has closed already needs no line.
    let _ = send(socket, line, SendFlags::NOSIGNAL);
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
}

/// Whether a socket is a UNIX socket.
pub(crate) fn is_unix(socket: &OwnedFd) -> bool {
    matches!(sockopt::socket_domain(socket), Ok(AddressFamily::UNIX))
}
