//! TLS over a socket, with buffers that it has only while it needs them.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{ProtocolVersion::TLSv1_3, ServerConfig, server::UnbufferedServerConnection};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::session::Session;
use crate::shard::AnySocket;

/// Longest record: 16 KiB of data, with all that may be around them.
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// Most input that may wait to be taken: a message of a handshake has at most 64 KiB.
const INPUT_BYTES_MAX: usize = 64 * 1024 + RECORD_BYTES_MAX;

/// Most bytes of one read.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Least bytes of a read in a handshake, in which most messages are shorter.
const HANDSHAKE_READ_BYTES: usize = 4 * 1024;

thread_local! {
    /// Lent to the connection that reads.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stream of data over TLS.
///
/// Many records are read at a time, into memory that the thread's connections share, and as many are written at a
/// time. What is kept between is the beginning of a record, data that the caller had no room for, and what the socket
/// did not take; an idle connection keeps nothing.
pub(super) struct TlsSocket {
    pub(super) socket: AnySocket,
    pub(super) session: Session,
    /// Encrypted input that is not taken yet.
    pub(super) input: Vec<u8>,
    /// `input` may have whole records: the caller had no room for their data.
    has_records: bool,
    /// Data that the caller had no room for, from `given` on.
    pub(super) data: Vec<u8>,
    given: usize,
    /// What is unsent is the ticket of a client to which nothing else was sent yet. No client waits for it.
    pub(super) is_ticket_unsent: bool,
}

impl TlsSocket {
    /// Before its handshake.
    pub(super) fn new(
        socket: AnySocket,
        config: Arc<ServerConfig>,
    ) -> Result<Self, (io::Error, AnySocket)> {
        match Session::new(config) {
            Ok(session) => Ok(Self {
                socket,
                session,
                input: Vec::new(),
                has_records: false,
                data: Vec::new(),
                given: 0,
                is_ticket_unsent: false,
            }),
            Err(error) => Err((io::Error::other(error), socket)),
        }
    }

    pub(super) fn socket(&self) -> &AnySocket {
        &self.socket
    }

    pub(super) fn socket_mut(&mut self) -> &mut AnySocket {
        &mut self.socket
    }

    pub(super) fn into_socket(self) -> AnySocket {
        self.socket
    }

    /// The session as rustls knows it.
    pub(super) fn connection(&self) -> &UnbufferedServerConnection {
        self.session.connection()
    }

    /// Goes on with the handshake. In TLS 1.3 the ticket that the client gets may be unsent when it is done: it goes
    /// with the first data, or with the end.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // What there is to answer is answered before more input is awaited.
            ready!(self.poll_unsent(cx))?;
            let read = self.poll_input(cx, HANDSHAKE_READ_BYTES, |this, input| {
                let taken = this.session.shake_hands(input, &mut this.data)?;
                Ok((taken, !this.connection().is_handshaking()))
            });
            if matches!(read, Poll::Ready(Err(_))) {
                // The alert. If the socket does not take it now, the client sees the close alone.
                let _ = self.poll_unsent(cx);
            }
            ready!(read)?;
            if !self.connection().is_handshaking() {
                self.is_ticket_unsent = self.connection().protocol_version() == Some(TLSv1_3);
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Writes what the session has to say, and what the socket did not take before.
    pub(super) fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let unsent = &mut self.session.unsent;
        let mut sent = 0;
        let mut result = Poll::Ready(Ok(()));
        while sent < unsent.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &unsent[sent..]) {
                Poll::Ready(Ok(0)) => {
                    result = Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    break;
                }
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => {
                    result = Poll::Ready(Err(error));
                    break;
                }
                Poll::Pending => {
                    result = Poll::Pending;
                    break;
                }
            }
        }
        if sent == unsent.len() {
            // Not only cleared: an idle connection keeps no memory for it.
            *unsent = Vec::new();
        } else {
            unsent.drain(..sent);
        }
        result
    }

    /// Lets `take` take records off the input, after more of it was read: so much that there are `bytes` in all, or
    /// what is missing of the first record. Nothing is read if `has_records`. `take` returns the number of bytes that
    /// it took, and whether there may be more records in the rest.
    pub(super) fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        take: impl FnOnce(&mut Self, &mut [u8]) -> Result<(usize, bool), rustls::Error>,
    ) -> Poll<io::Result<()>> {
        INPUT.with_borrow_mut(|block| {
            let kept = self.input.len();
            let mut end = kept;
            if !self.has_records {
                let missing =
                    record_length(&self.input).map_or(0, |length| length.saturating_sub(kept));
                let room = bytes.saturating_sub(kept).max(missing).clamp(1, READ_BYTES_MAX);
                if block.len() < kept + room {
                    block.resize((kept + room).max(READ_BYTES_MAX + RECORD_BYTES_MAX), 0);
                }
                let mut buf = ReadBuf::new(&mut block[kept..kept + room]);
                ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buf))?;
                if buf.filled().is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                end += buf.filled().len();
            } else if block.len() < kept {
                block.resize(kept, 0);
            }
            block[..kept].copy_from_slice(&self.input);
            let (taken, has_records) = take(self, &mut block[..end])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.has_records = has_records && taken < end;
            let rest = &block[taken..end];
            if rest.len() > INPUT_BYTES_MAX {
                let error = rustls::InvalidMessage::HandshakePayloadTooLarge;
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    rustls::Error::InvalidMessage(error),
                )));
            }
            if rest.is_empty() {
                self.input = Vec::new();
            } else {
                self.input.clear();
                self.input.extend_from_slice(rest);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Gives data that there was no room for before; returns whether there was any.
    pub(super) fn give_kept(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let kept = &self.data[self.given..];
        if kept.is_empty() {
            return false;
        }
        let fits = kept.len().min(buf.remaining());
        buf.put_slice(&kept[..fits]);
        self.given += fits;
        if self.given == self.data.len() {
            (self.data, self.given) = (Vec::new(), 0);
        }
        true
    }
}

/// Length of the record that begins here, if its header is complete.
fn record_length(input: &[u8]) -> Option<usize> {
    let length = input.get(3..5)?;
    Some(5 + usize::from(u16::from_be_bytes([length[0], length[1]])))
}
