//! How a socket is served: the codec by the framing, the stack by the protocol.

use std::sync::Arc;

use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};
use towline_config::Framing;
use towline_middleware::{
    BatchCodec, LineLimits, LinesBatchCodec, Utf8LinesCodec,
    protocol::{Lf, Protocol},
};

use super::{Peer, connection::serve_io};
use crate::{
    accept::{Accepted, ConnectionSlot, is_unix},
    stack::{FrameCodec, Responder, StackParts},
};

/// Serves a socket with a line stack of type `S`, in a task of its own on the calling thread, which it returns
/// unless there is none. A pointer, so that only what is behind it depends on the protocol.
pub(crate) type ServeSocket<S> =
    fn(&StackParts, Framing, Accepted, ConnectionSlot, S) -> Option<JoinHandle<()>>;

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
    accepted: Accepted,
    slot: ConnectionSlot,
    responder: S,
) -> Option<JoinHandle<()>> {
    match framing {
        Framing::Lines => serve_by(parts, Utf8LinesCodec::shared, accepted, slot, responder),
        _ => serve_by(parts, LinesBatchCodec::shared, accepted, slot, responder),
    }
}

/// Serves batches of any protocol, for which there is one framing.
fn serve_frames<S: Responder<P>, P: Protocol>(
    parts: &StackParts,
    _: Framing,
    accepted: Accepted,
    slot: ConnectionSlot,
    responder: S,
) -> Option<JoinHandle<()>> {
    serve_by(parts, BatchCodec::<P>::shared, accepted, slot, responder)
}

fn serve_by<C, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    accepted: Accepted,
    slot: ConnectionSlot,
    responder: S,
) -> Option<JoinHandle<()>>
where
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    let Accepted { socket, peer, .. } = accepted;
    let peer = Peer::new(peer);
    if is_unix(&socket) {
        let socket = std::os::unix::net::UnixStream::from(socket);
        serve_io(parts, codec, UnixStream::from_std(socket), peer, slot, responder)
    } else {
        let socket = std::net::TcpStream::from(socket);
        serve_io(parts, codec, TcpStream::from_std(socket), peer, slot, responder)
    }
}
