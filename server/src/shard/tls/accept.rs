//! The handshake of one connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::socket::TlsSocket;
use crate::{
    shard::{AnySocket, Peer, peer::PeerFacts},
    tls::{Identity, TlsInfo, TlsServer, take_asked},
};

/// A handshake. Ready with the stream, or with what went wrong and the socket.
pub(super) struct Accept {
    /// `None` when it is done.
    socket: Option<Result<Box<TlsSocket>, (io::Error, AnySocket)>>,
    /// The name that the client asked for.
    server_name: Option<String>,
}

/// A stream, and what is known of it.
pub(super) struct Accepted {
    socket: Box<TlsSocket>,
    info: TlsInfo,
}

impl Accepted {
    /// The stream, and its peer with what the handshake says of it.
    pub(super) fn of_peer(self, peer: Peer) -> (Box<TlsSocket>, Peer) {
        let Self { socket, info } = self;
        let certificate = socket.connection().peer_certificates().and_then(<[_]>::first);
        let identity = certificate.and_then(Identity::of);
        let peer =
            peer.with(|facts: &mut PeerFacts| (facts.tls, facts.identity) = (Some(info), identity));
        (socket, peer)
    }
}

impl Accept {
    /// The handshake on a socket, as `server` makes it.
    pub(super) fn new(socket: AnySocket, server: &TlsServer) -> Self {
        let socket = TlsSocket::new(socket, server.config()).map(Box::new);
        Self { socket: Some(socket), server_name: None }
    }
}

impl Future for Accept {
    type Output = Result<Accepted, (io::Error, AnySocket)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let done = match &mut this.socket {
            Some(Ok(socket)) => {
                let polled = socket.poll_handshake(cx);
                // In this poll, if it was in it: another handshake may be polled next.
                this.server_name = take_asked().or_else(|| this.server_name.take());
                ready!(polled)
            }
            _ => Ok(()),
        };
        Poll::Ready(match (this.socket.take(), done) {
            (Some(Ok(socket)), Ok(())) => {
                let info = TlsInfo::of(socket.connection(), this.server_name.take());
                Ok(Accepted { socket, info })
            }
            (Some(Ok(socket)), Err(error)) => Err((error, socket.into_socket())),
            (Some(Err(failed)), _) => Err(failed),
            // As every future, it is not polled again.
            (None, _) => return Poll::Pending,
        })
    }
}
