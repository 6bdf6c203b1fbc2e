//! A socket of any kind, as a connection is served on it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::{Peer, socket::Socket};
use crate::{
    accept::{Accepted, is_unix},
    closed::{EndedSocket, SocketFigures},
};

/// A socket that is registered with the runtime of the thread that serves it.
#[derive(Debug)]
pub(crate) enum AnySocket {
    /// A TCP socket.
    Tcp(Socket<TcpStream>),
    /// A UNIX socket.
    Unix(Socket<UnixStream>),
}

impl AnySocket {
    /// Registers an accepted socket.
    ///
    /// # Errors
    /// When epoll has no memory or no watches left.
    pub(crate) fn register(accepted: Accepted) -> io::Result<Self> {
        let Accepted { socket, .. } = accepted;
        Ok(if is_unix(&socket) {
            Self::Unix(Socket::new(UnixStream::from_std(socket.into())?))
        } else {
            Self::Tcp(Socket::new(TcpStream::from_std(socket.into())?))
        })
    }
}

/// Evaluates an expression with the socket of either kind.
macro_rules! either {
    ($any:expr, $socket:ident => $value:expr) => {
        match $any {
            AnySocket::Tcp($socket) => $value,
            AnySocket::Unix($socket) => $value,
        }
    };
}

impl AnySocket {
    /// See [`Socket::peek_until`].
    pub(crate) async fn peek_until<T>(
        &self,
        block: &mut [u8],
        decide: impl FnMut(&[u8], bool) -> Option<T>,
    ) -> io::Result<T> {
        match self {
            Self::Tcp(socket) => socket.peek_until(block, decide).await,
            Self::Unix(socket) => socket.peek_until(block, decide).await,
        }
    }

    /// See [`Socket::send_with_end`].
    #[cfg(feature = "tls")]
    pub(super) fn send_with_end(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.send_with_end(bytes))
    }

    /// Takes and discards input that was looked at.
    pub(crate) fn discard(&self, bytes: usize) -> io::Result<()> {
        either!(self, socket => socket.discard(bytes))
    }
}

impl EndedSocket for AnySocket {
    fn peer(&self) -> Option<Peer> {
        either!(self, socket => socket.peer())
    }

    fn listener(&self) -> Option<String> {
        either!(self, socket => socket.listener())
    }

    fn figures(&self) -> Option<SocketFigures> {
        either!(self, socket => socket.figures())
    }
}

impl AsyncRead for AnySocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buf))
    }
}

impl AsyncWrite for AnySocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}

/// What a connection is served on: its socket, or TLS over it.
#[derive(Debug)]
pub(crate) enum Established {
    /// Frames are read from the socket itself.
    Plain(AnySocket),
    /// Frames are read from TLS over it.
    #[cfg(feature = "tls")]
    Tls(super::tls::TlsStream),
}

impl Established {
    /// The socket, if there is nothing over it.
    pub(crate) fn into_plain(self) -> Option<AnySocket> {
        match self {
            Self::Plain(socket) => Some(socket),
            #[cfg(feature = "tls")]
            Self::Tls(_) => None,
        }
    }
}
