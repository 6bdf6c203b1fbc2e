//! The `Sink` half: how replies are encoded and written.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use futures_sink::Sink;
use tokio::io::AsyncWrite;
use tokio_util::codec::Encoder;

use crate::LineError;

use super::{
    FramedTransport,
    blocks::{COPY_BYTES_MAX, POOL_BLOCK},
    flags::Flag,
    read::retry_interrupted,
};

/// Most bytes of replies buffered before the `Sink` half asks for a flush first.
const SINK_BOUNDARY_BYTES: usize = 64 * 1024;

impl<Io, Codec, Item> Sink<Item> for FramedTransport<Io, Codec>
where
    Io: AsyncWrite + Unpin,
    Codec: Encoder<Item> + Unpin,
{
    type Error = Codec::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.write.len() < SINK_BOUNDARY_BYTES {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Item) -> Result<(), Self::Error> {
        // An unfinished line moves out now, so that an echoed batch is the only owner of its block and
        // can be written from where it was read. At most once a read, and not if batches were copied:
        // then the next read uses the block.
        if self.flags.has(Flag::Shares) {
            self.return_read_block(COPY_BYTES_MAX);
        }
        let this = &mut *self;
        let result = this.codec.encode(item, &mut this.write);
        this.write_block_bytes =
            this.write.capacity().try_into().unwrap_or(u32::MAX).max(POOL_BLOCK);
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = &mut *self;
        while !this.write.is_empty() {
            if this.flags.has(Flag::InsidePush) {
                return Poll::Pending;
            }
            let n =
                ready!(retry_interrupted(|| Pin::new(&mut this.io).poll_write(cx, &this.write)))?;
            if n == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            this.written_bytes =
                this.written_bytes.saturating_add(n.try_into().unwrap_or(u16::MAX));
            if n < this.write.len() {
                this.write.advance(n);
            } else {
                this.write.clear();
            }
        }
        this.return_write_block();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.flags.set(Flag::FlushPending, flushed.is_pending());
        ready!(flushed)?;
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        ready!(Sink::<Item>::poll_flush(self.as_mut(), cx))?;
        let closed = Pin::new(&mut self.io).poll_shutdown(cx);
        self.flags.set(Flag::FlushPending, closed.is_pending());
        ready!(closed)?;
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin, Codec> FramedTransport<Io, Codec> {
    /// Writes bytes that are in no buffer of the transport.
    pub(super) fn write_through(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, LineError>> {
        let written = retry_interrupted(|| Pin::new(&mut self.io).poll_write(cx, bytes));
        self.flags.set(Flag::PushPending, written.is_pending());
        let n = ready!(written)?;
        if n == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
        }
        self.written_bytes = self.written_bytes.saturating_add(n.try_into().unwrap_or(u16::MAX));
        // What the stream itself holds back is flushed when the sink is.
        self.flags.set(Flag::FlushPending, true);
        Poll::Ready(Ok(n))
    }
}
