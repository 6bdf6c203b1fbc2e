//! One connection on its shard, in a task of its own.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::Service;
use towline_middleware::{LineLimits, stats::CloseReason};

use super::socket::{Socket, TokioSocket};
use crate::{
    accept::ConnectionSlot,
    stack::{LineService, LinesCodec, StackParts, connection_stack},
};

/// Serves a socket that is registered with this thread's runtime, in a task of its own.
pub(crate) fn serve_io<Io, C, S>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    io: io::Result<Io>,
    slot: ConnectionSlot,
    line_stack: S,
) where
    Io: TokioSocket + Send + 'static,
    C: LinesCodec,
    S: LineService,
{
    match io {
        Ok(io) => {
            let served = connection_stack(parts, codec, line_stack).call(Socket::new(io));
            tokio::spawn(Connection { served, slot });
        }
        // epoll has no memory or no watches left. The client sees a close and can try again.
        Err(error) => {
            parts.connection_stats().close(CloseReason::IoError);
            tracing::warn!(%error, "connection closed: it cannot be registered");
        }
    }
}

pin_project! {
    /// A connection being served, and its slot, which is freed after the socket is closed.
    struct Connection<F> {
        #[pin]
        served: F,
        slot: ConnectionSlot,
    }
}

impl<F: Future<Output = Result<CloseReason, Infallible>>> Future for Connection<F> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(reason) = ready!(self.project().served.poll(cx));
        tracing::trace!(reason = reason.label(), "connection closed");
        Poll::Ready(())
    }
}
