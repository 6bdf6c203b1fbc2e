//! Bytes to lines and back, over any byte stream and any tokio-util codec.

mod blocks;
mod flags;
mod layer;
mod peer_end;
mod read;
mod write;

use std::{
    any::Any,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::BytesMut;
use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder};

pub use self::layer::{FramingLayer, FramingService};
use self::{
    blocks::{COPY_BYTES_MAX, POOL_BLOCK},
    flags::{Flag, Flags},
    read::Unfinished,
};
use crate::{
    Batch, BatchCodec, LineError, Transport,
    drain::WakeEntry,
    fairness,
    protocol::Protocol,
    push::Fact,
    session::StartTls,
    transport::{BufferedBytes, Expired, Parked, PeerEnd, Sealed},
};

/// A `Stream + Sink` over a byte stream and a codec, which owns no buffer while it has nothing to keep.
///
/// *Does*: reads into a block of the thread's pool, decodes in place, and puts the block back when the
/// task parks; an unfinished line or an unwritten reply is then moved to memory of its own size, or stays
/// where it is if that is a short block. *Does not*: read the clock, count, or close by itself. *Goes*:
/// above the socket and its [`MeteredIo`](crate::MeteredIo), below everything that handles lines. *Costs*:
/// about 150 bytes a connection beside the I/O object, nothing a line.
///
/// Like tokio-util's `Framed`, but 16 KiB smaller while idle. Unlike it, an error of the codec ends the
/// stream: do not poll on after one.
///
/// The block stays with the transport between items, so poll the stream until it is pending before waiting
/// for something else; [`Serve`](crate::serve::Serve) puts the block back before any wait.
///
/// ```
/// use towline_middleware::{FramedTransport, LinesBatchCodec};
/// use futures_util::{SinkExt, StreamExt};
/// # use tokio::io::AsyncWriteExt;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (mut client, server) = tokio::io::duplex(64);
/// let mut framed = FramedTransport::new(server, LinesBatchCodec::new(64 * 1024));
/// client.write_all(b"one\ntwo\n").await.unwrap();
/// let lines = framed.next().await.unwrap().unwrap();
/// assert_eq!(lines.count(), 2);
/// framed.send(lines).await.unwrap();
/// # }
/// ```
#[derive(Debug)]
pub struct FramedTransport<Io, Codec> {
    io: Io,
    codec: Codec,
    read: BytesMut,
    write: BytesMut,
    /// Size of the memory behind `write` if that is its own; the size of a block otherwise.
    write_block_bytes: u32,
    flags: Flags,
    /// Bytes written since the last park, saturating.
    written_bytes: u16,
}

impl<Io, Codec> FramedTransport<Io, Codec> {
    /// Frames `io` with `codec`. Allocates nothing.
    pub fn new(io: Io, codec: Codec) -> Self {
        Self {
            io,
            codec,
            read: BytesMut::new(),
            write: BytesMut::new(),
            write_block_bytes: POOL_BLOCK,
            flags: Flags::default(),
            written_bytes: 0,
        }
    }

    /// The byte stream.
    pub const fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The byte stream. What is read from it directly, the codec misses.
    pub const fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Drops what is buffered and returns the byte stream.
    pub fn into_inner(self) -> Io {
        self.io
    }

    /// The codec.
    pub const fn codec(&self) -> &Codec {
        &self.codec
    }
}

impl<Io, Codec: Decoder> FramedTransport<Io, Codec> {
    /// The next item of what was read already.
    #[inline]
    fn decode(&mut self) -> Option<Result<Codec::Item, Codec::Error>> {
        if !self.flags.has(Flag::Decodable) {
            return None;
        }
        let outgrown = self.has_outgrown_a_block();
        let decoded = match self.flags.has(Flag::Ended) {
            false => self.codec.decode(&mut self.read),
            true => self.decode_last(),
        };
        if outgrown && matches!(decoded, Ok(Some(_))) {
            self.leave_memory_of_long_item();
        }
        self.flags.set(Flag::Decodable, !matches!(decoded, Ok(None)));
        decoded.transpose()
    }
}

impl<Io, Codec: Decoder> FramedTransport<Io, Codec> {
    #[inline(never)]
    fn decode_last(&mut self) -> Result<Option<Codec::Item>, Codec::Error> {
        self.codec.decode_eof(&mut self.read)
    }
}

impl<Io: AsyncRead + Unpin, Codec: Decoder> FramedTransport<Io, Codec> {
    /// The next item. Where it sets [`Flag::Paused`], the caller wakes the task.
    fn poll_item(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Codec::Item, Codec::Error>>> {
        let mut unfinished = Unfinished::default();
        loop {
            if let Some(item) = self.decode() {
                return Poll::Ready(Some(item));
            }
            if self.flags.has(Flag::Ended) {
                return Poll::Ready(None);
            }
            if unfinished.must_yield() {
                self.flags.take(Flag::FullRead);
                self.flags.set(Flag::Paused, true);
                self.return_read_block(COPY_BYTES_MAX);
                return Poll::Pending;
            }
            match self.poll_fill(cx) {
                Poll::Pending if self.flags.take(Flag::ReadAhead) => {
                    self.flags.set(Flag::Decodable, true);
                }
                Poll::Pending => {
                    self.return_read_block(COPY_BYTES_MAX);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Ok(n)) => {
                    self.flags.set(Flag::Ended, n == 0);
                    self.flags.set(Flag::Decodable, true);
                    unfinished.add(n);
                }
            }
        }
    }
}

impl<Io, Codec> Stream for FramedTransport<Io, Codec>
where
    Io: AsyncRead + Unpin,
    Codec: Decoder + Unpin,
{
    type Item = Result<Codec::Item, Codec::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.poll_item(cx);
        if self.flags.take(Flag::Paused) {
            fairness::defer_wake(cx);
        }
        next
    }
}

impl<Io, Codec> Sealed for FramedTransport<Io, Codec> {}

impl<Io, Codec, P> Transport for FramedTransport<Io, Codec>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
    Codec: Decoder<Item = Batch<P>, Error = LineError>
        + Encoder<Batch<P>, Error = LineError>
        + Unpin
        + 'static,
    P: Protocol,
{
    type Protocol = P;

    #[inline]
    fn poll_batch(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Batch<P>, LineError>>> {
        self.poll_item(cx)
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        self.write.is_empty() && !self.flags.has_either(Flag::FlushPending, Flag::Paused)
    }

    #[inline]
    fn take_paused(mut self: Pin<&mut Self>) -> bool {
        self.flags.take(Flag::Paused)
    }

    #[inline]
    fn unsent_bytes(&self) -> usize {
        // What a stream holds back (a `BufWriter`, TLS) is unsent too, though it does not say how much.
        // So is the rest of what is pushed.
        const UNSENT: u16 =
            Flag::FlushPending as u16 | Flag::PushPending as u16 | Flag::InsidePush as u16;
        self.write.len() + usize::from(self.flags.has_any(UNSENT))
    }

    fn poll_push(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, LineError>> {
        self.write_through(cx, bytes)
    }

    fn set_inside_push(mut self: Pin<&mut Self>, inside: bool) {
        self.flags.set(Flag::InsidePush, inside);
    }

    #[inline]
    fn is_inside_push(&self) -> bool {
        self.flags.has(Flag::InsidePush)
    }

    #[inline]
    fn take_full_read(mut self: Pin<&mut Self>) -> bool {
        self.flags.take(Flag::FullRead)
    }

    fn next_buffered(mut self: Pin<&mut Self>) -> Option<Result<Batch<P>, LineError>> {
        if self.flags.take(Flag::ReadAhead) {
            self.flags.set(Flag::Decodable, true);
        }
        self.decode()
    }

    fn set_frame_max(mut self: Pin<&mut Self>, bytes: usize) {
        // A codec of another kind has limits of its own.
        let codec: &mut dyn Any = &mut self.codec;
        if let Some(codec) = codec.downcast_mut::<BatchCodec<P>>() {
            codec.set_frame_max(bytes);
            self.flags.set(Flag::Decodable, true);
        }
    }

    fn reframe(mut self: Pin<&mut Self>, rest: &[u8], raw: bool) {
        if !rest.is_empty() {
            let mut joined = BytesMut::with_capacity(rest.len() + self.read.len());
            joined.extend_from_slice(rest);
            joined.extend_from_slice(&self.read);
            self.read.clear();
            self.return_read_block(0);
            self.read = joined;
        }
        let codec: &mut dyn Any = &mut self.codec;
        if let Some(codec) = codec.downcast_mut::<BatchCodec<P>>() {
            codec.set_raw(raw);
        }
        self.flags.set(Flag::Raw, raw);
        self.flags.set(Flag::Decodable, true);
    }

    fn poll_start_tls(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        tls: &dyn StartTls,
    ) -> Poll<io::Result<Option<Fact>>> {
        tls.poll_start(&mut self.io, cx)
    }

    #[inline]
    fn park(mut self: Pin<&mut Self>) -> BufferedBytes {
        self.return_read_block(COPY_BYTES_MAX);
        self.return_write_block();
        self.flags.set(Flag::Woken, true);
        BufferedBytes {
            read_bytes: self.read.len() + usize::from(self.flags.has(Flag::Raw)),
            write_bytes: self.unsent_bytes(),
            written_bytes: std::mem::take(&mut self.written_bytes),
        }
    }

    fn drop_buffers(mut self: Pin<&mut Self>) {
        self.read = BytesMut::new();
        self.write = BytesMut::new();
        self.flags.set(Flag::Pooled, false);
        self.flags.set(Flag::Decodable, false);
    }

    /// A bare transport has no deadlines.
    #[inline]
    fn poll_expired(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: Parked,
        _: &mut WakeEntry<'_>,
        _: &mut BufferedBytes,
    ) -> Poll<Expired> {
        Poll::Pending
    }

    fn poll_peer_end(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<PeerEnd>> {
        self.poll_read_ahead(cx, bytes_max)
    }

    fn poll_discard(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.clear();
        let result = self.poll_fill(cx);
        self.read.clear();
        self.return_read_block(0);
        result
    }
}
