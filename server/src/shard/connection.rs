//! One connection on its shard, in a task of its own.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::task::JoinHandle;
use tower::Service;
use towline_middleware::{LineLimits, protocol::Protocol, serve::Respond, stats::CloseReason};

use super::{
    Peer, service_error,
    socket::{Socket, TokioSocket},
};
use crate::{
    accept::ConnectionSlot,
    stack::{FrameCodec, Responder, ServedConnection, StackParts, connection_stack},
};

/// Serves a socket that is registered with this thread's runtime, in a task of its own, which is returned.
pub(crate) fn serve_io<Io, C, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    io: io::Result<Io>,
    peer: Peer,
    slot: ConnectionSlot,
    responder: S,
) -> Option<JoinHandle<()>>
where
    Io: TokioSocket + Send + 'static,
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    match io {
        Ok(io) => {
            let descriptor = io.as_fd().as_raw_fd();
            let served = connection_stack(parts, codec, responder).call(Socket::new(io));
            served.set_stream_id(descriptor);
            served.set_peer(peer.address().into());
            Some(tokio::spawn(Connection { served, slot }))
        }
        // epoll has no memory or no watches left. The client sees a close and can try again.
        Err(error) => {
            parts.connection_stats().close(CloseReason::IoError);
            tracing::warn!(%peer, %error, "connection closed: it cannot be registered");
            None
        }
    }
}

pin_project! {
    /// A connection being served, and its slot, which is freed after the socket is closed.
    struct Connection<Io: AsFd, C, S: Respond<P>, P: Protocol> {
        #[pin]
        served: ServedConnection<Socket<Io>, C, S, P>,
        slot: ConnectionSlot,
    }

    impl<Io: AsFd, C, S: Respond<P>, P: Protocol> PinnedDrop for Connection<Io, C, S, P> {
        // However it ends: also by a panic of its service, and when its shard is cut.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let end = this.served.as_mut().end();
            this.slot.closed().add(this.slot.shard(), end, socket_of(&this.served));
        }
    }
}

fn socket_of<Io: AsFd, C, S: Respond<P>, P: Protocol>(
    served: &ServedConnection<Socket<Io>, C, S, P>,
) -> &Socket<Io> {
    served.get_ref().get_ref().get_ref().get_ref()
}

impl<Io, C, S, P> Future for Connection<Io, C, S, P>
where
    Io: TokioSocket,
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
