//! The steps of one connection.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
};

use tokio::time::{Instant, sleep_until};
use towline_middleware::{serve::Unserved, stats::CloseReason};

use super::{Refusal, Steps, linger::close_in_order};
use crate::{
    Peer,
    accept::ConnectionSlot,
    closed::{EndedSocket, SocketFigures},
    counts::{HandshakeResult, Rejection},
    shard::{AnySocket, Established},
};

/// A connection before its first frame: its entries in what its shard counts and lists, and its slot. However it
/// ends, it is counted and may get a record.
pub(crate) struct Prelude {
    /// `None` after the connection was handed on.
    opened: Option<Unserved>,
    slot: Option<ConnectionSlot>,
    ended: Ended,
}

/// What the record of a connection says that ended here.
struct Ended {
    listener: Option<String>,
    peer: Peer,
    detail: Option<String>,
    figures: Option<SocketFigures>,
}

/// A connection whose steps are taken.
pub(crate) struct Outcome {
    pub(crate) established: Established,
    pub(crate) peer: Peer,
    pub(crate) opened: Unserved,
    pub(crate) slot: ConnectionSlot,
}

impl Prelude {
    /// Of a connection that is open.
    pub(crate) fn new(
        opened: Unserved,
        slot: ConnectionSlot,
        socket: &AnySocket,
        peer: Peer,
    ) -> Self {
        opened.set_peer(peer.address().into());
        let ended = Ended { listener: socket.listener(), peer, detail: None, figures: None };
        Self { opened: Some(opened), slot: Some(slot), ended }
    }

    /// Takes the steps. Returns nothing if the connection has ended.
    pub(crate) async fn run(mut self, steps: Arc<Steps>, socket: AnySocket) -> Option<Outcome> {
        let peer = self.ended.peer.clone();
        match self.take(&steps, socket, peer).await {
            Ok((established, peer)) => {
                let (opened, slot) = (self.opened.take()?, self.slot.take()?);
                Some(Outcome { established, peer, opened, slot })
            }
            Err(refused) => {
                self.end(refused, &steps).await;
                None
            }
        }
    }

    async fn take(
        &mut self,
        steps: &Steps,
        socket: AnySocket,
        mut peer: Peer,
    ) -> Result<(Established, Peer), Refusal> {
        let mut deadline = pin!(sleep_until(Instant::now() + steps.deadline));
        let mut established = Established::Plain(socket);
        for step in &steps.steps {
            // Nothing follows TLS, which is the last step.
            let Some(socket) = established.into_plain() else {
                return Err(Refusal::silently(CloseReason::IoError, "no socket is left"));
            };
            let mut taking = step.take(socket, peer);
            let opened = self.opened.as_mut();
            let Some(opened) = opened else {
                return Err(Refusal::silently(CloseReason::IoError, "no connection is left"));
            };
            // What has arrived comes before the deadline: a process that stood still reads first.
            let taken = poll_fn(|cx| {
                opened.poll(cx, |cx| match taking.as_mut().poll(cx) {
                    std::task::Poll::Ready(taken) => std::task::Poll::Ready(taken),
                    std::task::Poll::Pending => Pin::as_mut(&mut deadline).poll(cx).map(|()| {
                        let detail = format!("{} within {:?}", step.missing(), steps.deadline);
                        Err(Refusal::silently(CloseReason::HandshakeTimeout, detail))
                    }),
                })
            });
            let began = Instant::now();
            let taken = taken.await;
            let all = self.slot.as_ref().map(ConnectionSlot::handshakes);
            if let (Some(counts), Ok(taken)) = (all.and_then(|all| step.counts_in(all)), &taken) {
                counts.add(result_of(taken), began.elapsed());
            }
            (established, peer) = match taken {
                Ok(taken) => taken?,
                Err(reason) => return Err(Refusal::silently(reason, step.missing())),
            };
            opened.set_peer(peer.address().into());
            let known = std::mem::replace(&mut self.ended.peer, peer.clone());
            if known.address() != peer.address()
                && let Err(why) = self.admit(&peer)
            {
                let detail = format!("its client was refused: {}", why.label());
                let (reason, socket) = (CloseReason::ClientRefused, established.into_plain());
                return Err(Refusal { reason, detail, socket });
            }
        }
        Ok((established, peer))
    }

    /// Admits a client that a load balancer named, as the acceptor admits others.
    fn admit(&mut self, peer: &Peer) -> Result<(), Rejection> {
        let Some(slot) = self.slot.take() else { return Ok(()) };
        let admitted = slot.clients().admit(peer.address());
        let (slot, refused) = match admitted {
            Ok(Some(tag)) => (slot.tagged(tag), None),
            Ok(None) => (slot, None),
            Err(why) => (slot, Some(why)),
        };
        self.slot = Some(slot);
        refused.map_or(Ok(()), Err)
    }

    /// Closes a connection that was refused.
    async fn end(&mut self, refused: Refusal, steps: &Steps) {
        let Refusal { reason, detail, socket } = refused;
        self.ended.detail = Some(detail);
        let Some(opened) = &mut self.opened else { return };
        if let Some(mut socket) = socket {
            self.ended.figures = socket.figures();
            let mut close = pin!(close_in_order(&mut socket, steps.linger));
            poll_fn(|cx| opened.poll_close(cx, reason, |cx| close.as_mut().poll(cx))).await;
        }
        opened.close(reason);
    }
}

/// How a step ended that is counted.
fn result_of(taken: &Result<(Established, Peer), Refusal>) -> HandshakeResult {
    match taken {
        Ok((_, peer)) if peer.is_resumed() => HandshakeResult::Resumed,
        Ok(_) => HandshakeResult::Ok,
        Err(Refusal { reason: CloseReason::HandshakeTimeout, .. }) => HandshakeResult::Timeout,
        Err(_) => HandshakeResult::Failed,
    }
}

impl Refusal {
    /// Without an orderly close.
    pub(crate) fn silently(reason: CloseReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), socket: None }
    }
}

impl Drop for Prelude {
    fn drop(&mut self) {
        if let (Some(mut opened), Some(slot)) = (self.opened.take(), &self.slot) {
            slot.closed().add(slot.shard(), opened.end(), &self.ended);
        }
    }
}

impl EndedSocket for Ended {
    fn peer(&self) -> Option<Peer> {
        Some(self.peer.clone())
    }

    fn listener(&self) -> Option<String> {
        self.listener.clone()
    }

    fn figures(&self) -> Option<SocketFigures> {
        self.figures
    }

    fn detail(&self) -> Option<String> {
        self.detail.clone()
    }
}
