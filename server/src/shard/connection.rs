//! One connection on its shard, in a task of its own.

use std::{
    future::Future,
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};
use tower::Service;
use towline_middleware::{
    LineLimits,
    protocol::Protocol,
    serve::{Respond, Unserved},
    stats::CloseReason,
};

use super::{
    Peer, service_error,
    socket::{Socket, TokioSocket},
};
use crate::{
    accept::ConnectionSlot,
    closed::EndedSocket,
    stack::{FrameCodec, Responder, ServedConnection, StackParts, connection_stack},
};

/// What a connection is served on.
pub(crate) trait ConnectionIo:
    AsyncRead + AsyncWrite + EndedSocket + Unpin + Send + 'static
{
    /// The descriptor to which pushes may be written beside the connection's task; `None` if only that can.
    fn stream_id(&self) -> Option<i32>;
}

impl<Io: TokioSocket + Send + 'static> ConnectionIo for Socket<Io> {
    fn stream_id(&self) -> Option<i32> {
        Some(self.as_fd().as_raw_fd())
    }
}

/// Serves a connection in a task of its own, which is returned. `opened` has its entries in what the shard counts
/// and lists, if it has any yet.
pub(super) fn serve_io<Io, C, S, P>(
    (parts, codec): (&StackParts, fn(Arc<LineLimits>) -> C),
    io: Io,
    peer: &Peer,
    opened: Option<Unserved>,
    slot: ConnectionSlot,
    responder: S,
) -> JoinHandle<()>
where
    Io: ConnectionIo,
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    let stream_id = io.stream_id();
    let served = connection_stack(parts, codec, responder, opened).call(io);
    if let Some(stream_id) = stream_id {
        served.set_stream_id(stream_id);
    }
    served.set_peer(peer.address().into());
    tokio::spawn(Connection { served, slot })
}

pin_project! {
    /// A connection being served, and its slot, which is freed after the socket is closed.
    struct Connection<Io: EndedSocket, C, S: Respond<P>, P: Protocol> {
        #[pin]
        served: ServedConnection<Io, C, S, P>,
        slot: ConnectionSlot,
    }

    impl<Io: EndedSocket, C, S: Respond<P>, P: Protocol> PinnedDrop for Connection<Io, C, S, P> {
        // However it ends: also by a panic of its service, and when its shard is cut.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let end = this.served.as_mut().end();
            this.slot.closed().add(this.slot.shard(), end, socket_of(&this.served));
        }
    }
}

fn socket_of<Io, C, S: Respond<P>, P: Protocol>(served: &ServedConnection<Io, C, S, P>) -> &Io {
    served.get_ref().get_ref().get_ref().get_ref()
}

impl<Io, C, S, P> Future for Connection<Io, C, S, P>
where
    Io: ConnectionIo,
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let mut served = this.served;
        let ended = served.as_mut().poll(cx);
        match ended {
            Poll::Pending => {
                // Before the close, after which the socket has no peer any more.
                if let Some(error) = served.as_mut().take_service_error() {
                    let id =
                        served.row().map(|row| this.slot.closed().name(this.slot.shard(), &row));
                    let peer = socket_of(&served).peer();
                    service_error::report(id, peer, &error, this.slot.on_service_error());
                }
                Poll::Pending
            }
            Poll::Ready(ended) => {
                // At the level that says everything; records of connections are bounded, and say more.
                let reason = ended.unwrap_or(CloseReason::ServiceError);
                tracing::trace!(reason = reason.label(), "connection ended");
                Poll::Ready(())
            }
        }
    }
}
