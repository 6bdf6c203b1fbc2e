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
    /// Which entry of `server.listen` it came by.
    pub listener: u8,
}

/// Sends a connection last words, if there are any, and half-closes it, without blocking.
pub(crate) fn say_goodbye(socket: &OwnedFd, words: &[u8]) {
    if !words.is_empty() {
        // A peer that has closed already needs none.
        let _ = send(socket, words, SendFlags::NOSIGNAL);
    }
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
}

/// Whether a socket is a UNIX socket.
pub(crate) fn is_unix(socket: &OwnedFd) -> bool {
    matches!(sockopt::socket_domain(socket), Ok(AddressFamily::UNIX))
}
