//! How a socket is served: the codec by the framing, the stack by the protocol.

use std::sync::Arc;

use tokio::task::JoinHandle;
use towline_config::Framing;
use towline_middleware::{
    BatchCodec, LineLimits, LinesBatchCodec, Utf8LinesCodec,
    protocol::{Lf, Protocol},
};

use super::{AnySocket, Established, connection::serve_io, starter::NewStream};
use crate::{
    accept::ConnectionSlot,
    stack::{FrameCodec, Responder, StackParts},
};

/// Serves a socket with a line stack of type `S`, in a task of its own on the calling thread, which it
/// returns. A pointer, so that only what is behind it depends on the protocol.
pub(crate) type ServeSocket<S> =
    fn(&StackParts, Framing, NewStream, ConnectionSlot, S) -> JoinHandle<()>;

/// How the connections that `S` answers are served. Pointers, so that only what is behind them depends on
/// the protocol.
pub(crate) struct ServeBy<S> {
    pub(crate) socket: ServeSocket<S>,
    #[cfg(feature = "test")]
    pub(crate) stream: super::ServeStream<S>,
    #[cfg(feature = "test")]
    pub(crate) end_of_line: fn() -> &'static [u8],
}

impl<S: Responder<Lf>> ServeBy<S> {
    /// Lines, by either framing.
    pub(crate) fn lines() -> Self {
        let mut lines = Self::frames::<Lf>();
        lines.socket = serve_lines;
        #[cfg(feature = "test")]
        {
            lines.stream = super::stream_of_lines;
        }
        lines
    }
}

impl<S> ServeBy<S> {
    /// Frames of the protocol `P`.
    pub(crate) fn frames<P: Protocol>() -> Self
    where
        S: Responder<P>,
    {
        Self {
            socket: serve_frames,
            #[cfg(feature = "test")]
            stream: super::serve_stream::<S, P>,
            #[cfg(feature = "test")]
            end_of_line: super::end_of_line::<P>,
        }
    }
}

/// Serves lines, with the codec that `framing` names.
pub fn serve_lines<S: Responder<Lf>>(
    parts: &StackParts,
    framing: Framing,
    stream: NewStream,
    slot: ConnectionSlot,
    responder: S,
) -> JoinHandle<()> {
    match framing {
        Framing::Lines => serve_by(parts, Utf8LinesCodec::shared, stream, slot, responder),
        _ => serve_by(parts, LinesBatchCodec::shared, stream, slot, responder),
    }
}

/// Serves batches of any protocol, for which there is one framing.
fn serve_frames<S: Responder<P>, P: Protocol>(
    parts: &StackParts,
    _: Framing,
    stream: NewStream,
    slot: ConnectionSlot,
    responder: S,
) -> JoinHandle<()> {
    serve_by(parts, BatchCodec::<P>::shared, stream, slot, responder)
}

fn serve_by<C, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    stream: NewStream,
    slot: ConnectionSlot,
    responder: S,
) -> JoinHandle<()>
where
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    let NewStream { established, peer, opened } = stream;
    let parts = (parts, codec);
    match established {
        Established::Plain(AnySocket::Tcp(io)) => {
            serve_io(parts, io, &peer, opened, slot, responder)
        }
        Established::Plain(AnySocket::Unix(io)) => {
            serve_io(parts, io, &peer, opened, slot, responder)
        }
        #[cfg(feature = "tls")]
        Established::Tls(io) => serve_io(parts, io, &peer, opened, slot, responder),
    }
}
