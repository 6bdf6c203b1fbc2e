//! Bytes of a connection over TLS.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{socket::TlsSocket, startable::Startable};
use crate::{
    Peer,
    closed::{EndedSocket, SocketFigures},
    shard::{AnySocket, connection::ConnectionIo},
    tls::{TlsServer, failure},
};

/// A TLS stream over an accepted socket. In a box, so that the task of its connection is as large as that of a plain
/// one.
pub(crate) struct TlsStream(Box<Inner>);

struct Inner {
    stream: Stream,
    /// What was wrong, for the record of the connection.
    detail: Option<String>,
}

enum Stream {
    Tls(Box<TlsSocket>),
    /// In the clear until its session starts TLS.
    Startable(Startable),
}

impl TlsStream {
    pub(super) fn new(stream: Box<TlsSocket>) -> Self {
        Self(Box::new(Inner { stream: Stream::Tls(stream), detail: None }))
    }

    /// A socket in the clear, which would speak TLS as `server` does.
    pub(crate) fn startable(socket: AnySocket, server: Arc<TlsServer>, peer: Peer) -> Self {
        let stream = Stream::Startable(Startable::new(socket, server, peer));
        Self(Box::new(Inner { stream, detail: None }))
    }

    /// Goes on with the handshake of a stream that is in the clear, and returns what is known of the peer behind it.
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Peer>> {
        let Stream::Startable(startable) = &mut self.0.stream else {
            return Poll::Ready(Err(io::ErrorKind::AlreadyExists.into()));
        };
        match ready!(startable.poll_start(cx)) {
            Ok((stream, peer)) => {
                self.0.stream = Stream::Tls(stream);
                Poll::Ready(Ok(peer))
            }
            Err(error) => {
                self.0.detail = Some(failure::of_handshake(&error).1);
                Poll::Ready(Err(error))
            }
        }
    }

    fn socket(&self) -> Option<&AnySocket> {
        match &self.0.stream {
            Stream::Tls(stream) => Some(stream.socket()),
            Stream::Startable(startable) => startable.socket(),
        }
    }

    /// Notes what is wrong. An error of TLS itself comes as `InvalidData`.
    #[cold]
    fn note(&mut self, error: &io::Error) {
        self.0.detail = match failure::tls_error(error) {
            Some(tls) => Some(failure::words(tls)),
            None if error.kind() == io::ErrorKind::UnexpectedEof => {
                Some("the client ended the connection without a close_notify".to_owned())
            }
            None => return,
        };
    }
}

/// Evaluates an expression with what is read and written now.
macro_rules! either {
    ($tls:expr, $stream:ident => $value:expr) => {
        match &mut $tls.0.stream {
            Stream::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $value
            }
            Stream::Startable(startable) => {
                let $stream = Pin::new(startable);
                $value
            }
        }
    };
}

impl EndedSocket for TlsStream {
    fn peer(&self) -> Option<Peer> {
        self.socket()?.peer()
    }

    fn listener(&self) -> Option<String> {
        self.socket()?.listener()
    }

    fn figures(&self) -> Option<SocketFigures> {
        self.socket()?.figures()
    }

    fn detail(&self) -> Option<String> {
        self.0.detail.clone()
    }
}

impl ConnectionIo for TlsStream {
    fn stream_id(&self) -> Option<i32> {
        // What is written to the socket beside the stream would not be encrypted.
        None
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            // Asks for the end of the peer, which the socket knows before the input in front of it is read.
            return match &mut self.0.stream {
                Stream::Tls(stream) => Pin::new(stream.socket_mut()).poll_read(cx, buf),
                Stream::Startable(startable) => Pin::new(startable).poll_read(cx, buf),
            };
        }
        let read = ready!(either!(self, stream => stream.poll_read(cx, buf)));
        if let Err(error) = &read {
            self.note(error);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}
