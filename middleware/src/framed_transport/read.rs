//! How bytes are read: into which memory, and how many at a time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BufMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{
    FramedTransport,
    blocks::{COPIED_BYTES_MAX, COPY_BYTES_MAX},
    flags::Flag,
};
use crate::thread_context::block_pool::{self, READ_BYTES_MIN};

/// If the first read after the last wake-up brought less than this, the next is of this size, on the stack:
/// its bytes then have memory of their own, and a socket can make a plain system call. If the peer sends
/// more now, that costs one more read.
const SHORT_READ_BYTES: usize = block_pool::SHORT_BLOCK_BYTES;

/// Most reads without an item in one poll of the stream. A socket ends them earlier, by being empty.
const READS_MAX: u32 = 16;

/// Reads without an item, in one poll of the stream.
#[derive(Default)]
pub(super) struct Unfinished {
    reads: u32,
    bytes: usize,
}

impl Unfinished {
    /// Counts a read of `bytes`, after which the item is still not complete.
    #[inline]
    pub(super) const fn add(&mut self, bytes: usize) {
        self.reads += 1;
        self.bytes += bytes;
    }

    /// Whether other connections should run before more is read: a block's worth was.
    #[inline]
    pub(super) const fn must_yield(&self) -> bool {
        self.bytes >= block_pool::BLOCK_BYTES || self.reads >= READS_MAX
    }
}

impl<Io: AsyncRead + Unpin, Codec> FramedTransport<Io, Codec> {
    /// Reads more behind what is buffered. `Ready(Ok(0))` is the end of input.
    #[inline]
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.flags.has(Flag::Short) && !self.flags.has(Flag::Pooled) && self.read.is_empty() {
            return self.poll_read_short(cx);
        }
        self.poll_fill_block(cx)
    }

    #[inline(never)]
    fn poll_fill_block(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.flags.has(Flag::Pooled) {
            // Behind what it holds already.
        } else if self.read.is_empty() {
            self.read = block_pool::take();
            self.flags.set(Flag::Pooled, true);
        } else if self.read.len() <= COPY_BYTES_MAX {
            return self.poll_fill_behind_rest(cx);
        }
        self.poll_read(cx)
    }

    #[inline]
    fn poll_read_short(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Zeroed here, where it is a few instructions; a socket would call the C library for it.
        let mut bytes = [0; SHORT_READ_BYTES];
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(retry_interrupted(|| Pin::new(&mut self.io).poll_read(cx, &mut buf)))?;
        let read = buf.filled();
        self.read = block_pool::take_short();
        self.read.extend_from_slice(read);
        self.record_read(read.len());
        Poll::Ready(Ok(read.len()))
    }

    /// An unfinished line waits in memory of its own size, or in a short block. That memory is kept until
    /// the read brought something: most wake-ups without input are for another reason.
    #[inline(never)]
    fn poll_fill_behind_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let rest = std::mem::replace(&mut self.read, block_pool::take());
        self.read.extend_from_slice(&rest);
        self.flags.set(Flag::Pooled, true);
        let result = self.poll_read(cx);
        if result.is_pending() {
            block_pool::put(std::mem::replace(&mut self.read, rest));
            self.flags.set(Flag::Pooled, false);
        }
        result
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let used = self.read.len();
        if self.read.capacity() - used < READ_BYTES_MIN {
            // A long line gets a block of its own, and more if it outgrows that: growing doubles it, so each
            // byte moves about once. Of a very long one the codec reserves the memory, knowing the limit.
            let fits_block = used + READ_BYTES_MIN <= block_pool::BLOCK_BYTES;
            self.read.reserve(block_pool::BLOCK_BYTES - if fits_block { used } else { 0 });
        }
        // However much memory a long line has: the rest of it may be many lines.
        let room = (self.read.capacity() - used).min(block_pool::BLOCK_BYTES);
        let result = retry_interrupted(|| {
            poll_read_buf(Pin::new(&mut self.io), cx, &mut (&mut self.read).limit(room))
        });
        if let Poll::Ready(Ok(n)) = &result {
            self.flags.set(Flag::FullRead, *n == room);
            self.record_read(*n);
        }
        result
    }

    #[inline]
    fn record_read(&mut self, bytes: usize) {
        if self.flags.take(Flag::Woken) || bytes >= SHORT_READ_BYTES {
            self.flags.set(Flag::Short, bytes < SHORT_READ_BYTES);
        }
        self.flags.set(Flag::Shares, self.read.len() > COPIED_BYTES_MAX);
    }
}

/// Repeats a call as long as a signal interrupts it, which is no error of the stream.
#[inline]
pub(super) fn retry_interrupted<T>(
    mut call: impl FnMut() -> Poll<io::Result<T>>,
) -> Poll<io::Result<T>> {
    loop {
        match call() {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
