//! A connection that may go over to TLS in the middle, when its session says so.

use std::{
    any::Any,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use towline_middleware::{MeteredIo, push::Fact, session::StartTls};

use super::{TlsStream, accept::Accept, socket::TlsSocket};
use crate::{Peer, live_config::LiveConfig, shard::AnySocket, tls::TlsServer};

/// A socket in the clear, over which TLS may be started.
pub(super) struct Startable {
    state: State,
    server: Arc<TlsServer>,
    /// What is known of the peer in the clear.
    peer: Peer,
}

enum State {
    Clear(AnySocket),
    Handshake(Accept),
    /// Nothing more is read or written.
    Failed(Option<AnySocket>),
}

impl Startable {
    pub(super) const fn new(socket: AnySocket, server: Arc<TlsServer>, peer: Peer) -> Self {
        Self { state: State::Clear(socket), server, peer }
    }

    /// Goes on with the handshake, and returns TLS when it is done, with what is known of the peer then.
    pub(super) fn poll_start(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<TlsSocket>, Peer)>> {
        if let State::Clear(_) = self.state
            && let State::Clear(socket) = std::mem::replace(&mut self.state, State::Failed(None))
        {
            self.state = State::Handshake(Accept::new(socket, &self.server));
        }
        let State::Handshake(accept) = &mut self.state else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let done = ready!(Pin::new(accept).poll(cx));
        self.state = State::Failed(None);
        Poll::Ready(match done {
            Ok(accepted) => Ok(accepted.of_peer(self.peer.clone())),
            Err((error, socket)) => {
                self.state = State::Failed(Some(socket));
                Err(error)
            }
        })
    }

    pub(super) fn socket(&self) -> Option<&AnySocket> {
        match &self.state {
            State::Clear(socket) => Some(socket),
            // It is inside of the handshake.
            State::Handshake(_) => None,
            State::Failed(socket) => socket.as_ref(),
        }
    }

    fn clear(&mut self) -> io::Result<Pin<&mut AnySocket>> {
        match &mut self.state {
            State::Clear(socket) => Ok(Pin::new(socket)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Startable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.clear()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Startable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.clear()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.clear()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.clear()?.poll_shutdown(cx)
    }
}

/// How the sessions of a server start TLS, if they do.
pub(crate) fn start_in_the_middle(config: &LiveConfig) -> Option<Arc<dyn StartTls>> {
    let timeout = config.effective.settings.timeouts.handshake;
    config.starts_tls_later.then(|| Arc::new(StartOnStream { timeout }) as _)
}

#[derive(Debug)]
struct StartOnStream {
    /// Time for the handshake.
    timeout: Duration,
}

impl StartTls for StartOnStream {
    fn poll_start(
        &self,
        stream: &mut dyn Any,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Fact>>> {
        match stream.downcast_mut::<MeteredIo<TlsStream>>() {
            Some(stream) => stream.get_mut().poll_start(cx).map_ok(Peer::into_fact),
            // A stream of the test kit.
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }
}
