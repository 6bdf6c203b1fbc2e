//! Listening sockets that the caller bound.

use std::{
    io,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
};

use socket2::{SockRef, Socket};

use super::listen::set_options;

/// A listening socket that the caller bound, for [`Builder::listener`](crate::Builder::listener).
///
/// Made by `into()` from a `TcpListener` or a `UnixListener`, of the standard library or of Tokio.
#[derive(Debug)]
pub struct BoundListener(io::Result<Socket>);

impl BoundListener {
    /// The socket, unless Tokio's listener could not be taken from its runtime.
    pub(crate) fn into_socket(self) -> io::Result<Socket> {
        self.0
    }
}

impl From<TcpListener> for BoundListener {
    fn from(listener: TcpListener) -> Self {
        Self(Ok(listener.into()))
    }
}

impl From<UnixListener> for BoundListener {
    fn from(listener: UnixListener) -> Self {
        Self(Ok(listener.into()))
    }
}

impl From<tokio::net::TcpListener> for BoundListener {
    fn from(listener: tokio::net::TcpListener) -> Self {
        Self(listener.into_std().map(Into::into))
    }
}

impl From<tokio::net::UnixListener> for BoundListener {
    fn from(listener: tokio::net::UnixListener) -> Self {
        Self(listener.into_std().map(Into::into))
    }
}

/// Sets the socket options of `options` on a TCP listener; its connections inherit them.
///
/// [`serve`](crate::serve) and a [`Server`](crate::Server) with a listener of the caller's set none by
/// themselves. Without `TCP_NODELAY` the kernel holds small replies back until the client has
/// acknowledged the ones before.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// towline::configure_listener(&listener, &towline::config::SocketOptions::default())?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When the kernel refuses an option, on a UNIX socket for instance.
pub fn configure_listener(
    listener: &impl AsFd,
    options: &towline_config::SocketOptions,
) -> io::Result<()> {
    set_options(&SockRef::from(listener), options)
}
