//! Bytes of a connection over TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server;

use super::failure;
use crate::{
    Peer,
    closed::{EndedSocket, SocketFigures},
    shard::{AnySocket, ConnectionIo},
};

/// A TLS stream over an accepted socket. In a box, so that the task of its connection is as large as that of a plain
/// one.
#[derive(Debug)]
pub(crate) struct TlsStream(Box<Inner>);

#[derive(Debug)]
struct Inner {
    stream: server::TlsStream<AnySocket>,
    /// What was wrong, for the record of the connection.
    detail: Option<String>,
}

impl TlsStream {
    pub(super) fn new(stream: server::TlsStream<AnySocket>) -> Self {
        Self(Box::new(Inner { stream, detail: None }))
    }

    fn socket(&self) -> &AnySocket {
        self.0.stream.get_ref().0
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

impl EndedSocket for TlsStream {
    fn peer(&self) -> Option<Peer> {
        self.socket().peer()
    }

    fn listener(&self) -> Option<String> {
        self.socket().listener()
    }

    fn figures(&self) -> Option<SocketFigures> {
        self.socket().figures()
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
            return Pin::new(self.0.stream.get_mut().0).poll_read(cx, buf);
        }
        let read = ready!(Pin::new(&mut self.0.stream).poll_read(cx, buf));
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
        Pin::new(&mut self.0.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_shutdown(cx)
    }
}
