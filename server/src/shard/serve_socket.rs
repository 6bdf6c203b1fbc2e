//! How a socket is served: the codec by the framing, the stack by the protocol.

use std::{os::fd::OwnedFd, sync::Arc};

use tokio::net::{TcpStream, UnixStream};
use towline_config::Framing;
use towline_middleware::{
    BatchCodec, LineLimits, LinesBatchCodec, Utf8LinesCodec, protocol::Protocol,
};

use super::connection::serve_io;
use crate::{
    accept::{ConnectionSlot, is_unix},
    stack::{FrameCodec, FrameService, StackParts},
};

/// Serves a socket with a line stack of type `S`, in a task of its own on the calling thread. A pointer, so
/// that only what is behind it depends on the protocol.
pub(crate) type ServeSocket<S> = fn(&StackParts, Framing, OwnedFd, ConnectionSlot, S);

/// Serves lines, with the codec that `framing` names.
pub fn serve_lines<S: FrameService>(
    parts: &StackParts,
    framing: Framing,
    socket: OwnedFd,
    slot: ConnectionSlot,
    line_stack: S,
) {
    match framing {
        Framing::Lines => serve_by(parts, Utf8LinesCodec::shared, socket, slot, line_stack),
        _ => serve_by(parts, LinesBatchCodec::shared, socket, slot, line_stack),
    }
}

/// Serves batches of any protocol, for which there is one framing.
pub(crate) fn serve_frames<S: FrameService<P>, P: Protocol>(
    parts: &StackParts,
    _: Framing,
    socket: OwnedFd,
    slot: ConnectionSlot,
    line_stack: S,
) {
    serve_by(parts, BatchCodec::<P>::shared, socket, slot, line_stack);
}

fn serve_by<C, S, P>(
    parts: &StackParts,
    codec: fn(Arc<LineLimits>) -> C,
    socket: OwnedFd,
    slot: ConnectionSlot,
    line_stack: S,
) where
    C: FrameCodec<P>,
    S: FrameService<P>,
    P: Protocol,
{
    if is_unix(&socket) {
        let socket = std::os::unix::net::UnixStream::from(socket);
        serve_io(parts, codec, UnixStream::from_std(socket), slot, line_stack);
    } else {
        let socket = std::net::TcpStream::from(socket);
        serve_io(parts, codec, TcpStream::from_std(socket), slot, line_stack);
    }
}
