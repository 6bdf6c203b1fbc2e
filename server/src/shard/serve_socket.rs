//! How a socket is served: the codec by the framing, the stack by the protocol.

use std::{os::fd::OwnedFd, sync::Arc};

use tokio::net::{TcpStream, UnixStream};
use towline_config::Framing;
use towline_middleware::{
    BatchCodec, LineLimits, LinesBatchCodec, Utf8LinesCodec,
    protocol::{Lf, Protocol},
};

use super::connection::serve_io;
use crate::{
    accept::{ConnectionSlot, is_unix},
    stack::{FrameCodec, Responder, StackParts},
};

/// Serves a socket with a line stack of type `S`, in a task of its own on the calling thread. A pointer, so
/// that only what is behind it depends on the protocol.
pub(crate) type ServeSocket<S> = fn(&StackParts, Framing, OwnedFd, ConnectionSlot, S);

/// Serves lines, with the codec that `framing` names.
pub fn serve_lines<S: Responder<Lf>>(
    parts: &StackParts,
    framing: Framing,
    socket: OwnedFd,
    slot: ConnectionSlot,
    responder: S,
) {
    match framing {
        Framing::Lines => serve_by(parts, Utf8LinesCodec::shared, socket, slot, responder),
        _ => serve_by(parts, LinesBatchCodec::shared, socket, slot, responder),
    }
}

/// Serves batches of any protocol, for which there is one framing.
pub(crate) fn serve_frames<S: Responder<P>, P: Protocol>(
    parts: &StackParts,
    _: Framing,
    socket: OwnedFd,
    slot: ConnectionSlot,
    responder: S,
) {
    serve_by(parts, BatchCodec::<P>::shared, socket, slot, responder);
}

fn serve_by<C, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    socket: OwnedFd,
    slot: ConnectionSlot,
    responder: S,
) where
    C: FrameCodec<P>,
    S: Responder<P>,
    P: Protocol,
{
    if is_unix(&socket) {
        let socket = std::os::unix::net::UnixStream::from(socket);
        serve_io(parts, codec, UnixStream::from_std(socket), slot, responder);
    } else {
        let socket = std::net::TcpStream::from(socket);
        serve_io(parts, codec, TcpStream::from_std(socket), slot, responder);
    }
}
