//! The handshake, as a step before the first frame.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::Semaphore;

use super::{
    TlsStream,
    accept::{Accept, Accepted},
};
use crate::{
    counts::Handshakes,
    shard::{
        AnySocket, Established, Peer,
        prelude::{Refusal, Step, Taking},
    },
    tls::{TlsServer, failure},
};

/// TLS on the connections of a shard.
///
/// A step of a handshake computes for a tenth of a millisecond to one. Each waits for its turn, and other
/// connections of the thread run between two turns: so their lines wait for one such step at most, however many
/// clients connect at once. A client that sends nothing has no turn.
#[derive(Clone)]
pub(crate) struct Handshake {
    server: Arc<TlsServer>,
    turns: Arc<Semaphore>,
}

impl Handshake {
    /// With `server`; `turns` are those of the shard.
    pub(crate) const fn new(server: Arc<TlsServer>, turns: Arc<Semaphore>) -> Self {
        Self { server, turns }
    }

    async fn accept(&self, socket: AnySocket) -> Result<Accepted, Refusal> {
        let mut accept = pin!(Accept::new(socket, &self.server));
        loop {
            let turn = self.turns.acquire().await;
            let polled = poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await;
            drop(turn);
            match polled {
                Poll::Ready(Ok(accepted)) => return Ok(accepted),
                Poll::Ready(Err((error, socket))) => {
                    let (reason, detail) = failure::of_handshake(&error);
                    return Err(Refusal { reason, detail, socket: Some(socket) });
                }
                Poll::Pending => Woken(false).await,
            }
        }
    }
}

impl Step for Handshake {
    fn take(&self, socket: AnySocket, peer: Peer) -> Taking<'_> {
        Box::pin(async move {
            let (socket, peer) = self.accept(socket).await?.of_peer(peer);
            Ok((Established::Tls(TlsStream::new(socket)), peer))
        })
    }

    fn counts_in<'a>(&self, handshakes: &'a Handshakes) -> Option<&'a Handshakes> {
        Some(handshakes)
    }

    fn missing(&self) -> &'static str {
        "no TLS handshake"
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Ready when it is polled for the second time: after its task was woken.
struct Woken(bool);

impl Future for Woken {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// No handshake yet: the session of the connection may start TLS later.
#[derive(Debug)]
pub(crate) struct LaterHandshake(pub(crate) Arc<TlsServer>);

impl Step for LaterHandshake {
    fn take(&self, socket: AnySocket, peer: Peer) -> Taking<'_> {
        let stream = TlsStream::startable(socket, self.0.clone(), peer.clone());
        Box::pin(async move { Ok((Established::Tls(stream), peer)) })
    }

    fn missing(&self) -> &'static str {
        "nothing"
    }
}
