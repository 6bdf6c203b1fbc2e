//! How bytes come in: into which memory, and how much at a time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{
    FramedTransport,
    blocks::{COPIED_BYTES_MAX, COPY_BYTES_MAX},
};
use crate::thread_context::block_pool;

/// Smallest room worth a read.
const READ_BYTES_MIN: usize = 4 * 1024;

/// A peer that sent less than this when it woke us last is read with so much room first, on the stack: what
/// came is then the only thing in its memory, and a socket can take a shorter way to the kernel. If it
/// sends more now, that costs one more read.
const SHORT_READ_BYTES: usize = block_pool::SHORT_BLOCK_BYTES;

impl<Io: AsyncRead + Unpin, Codec> FramedTransport<Io, Codec> {
    /// Reads more behind what is buffered. `Ready(Ok(0))` is the end of input.
    #[inline]
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.lent {
        } else if self.read.is_empty() {
            if self.short {
                return self.poll_read_short(cx);
            }
            self.read = block_pool::take();
            self.lent = true;
        } else if self.read.len() <= COPY_BYTES_MAX {
            return self.poll_fill_behind_rest(cx);
        }
        self.poll_read(cx)
    }

    #[inline]
    fn poll_read_short(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Cleared here, where it is a few instructions; a socket would call the C library for it.
        let mut room = [0; SHORT_READ_BYTES];
        let mut into = ReadBuf::new(&mut room);
        ready!(again(|| Pin::new(&mut self.io).poll_read(cx, &mut into)))?;
        let read = into.filled();
        self.read = block_pool::take_short();
        self.read.extend_from_slice(read);
        self.took(read.len());
        Poll::Ready(Ok(read.len()))
    }

    /// An unfinished line waits in memory of its own size, or in a short block. It is set aside, not
    /// dropped, until the read gave something: most wake-ups that find nothing are about something else.
    #[inline(never)]
    fn poll_fill_behind_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let rest = std::mem::replace(&mut self.read, block_pool::take());
        self.read.extend_from_slice(&rest);
        self.lent = true;
        let result = self.poll_read(cx);
        if result.is_pending() {
            block_pool::put(std::mem::replace(&mut self.read, rest));
            self.lent = false;
        }
        result
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < READ_BYTES_MIN {
            // A long line outgrew its block. Growing doubles, so each byte moves about once.
            self.read.reserve(block_pool::BLOCK_BYTES);
        }
        let room = self.read.capacity() - self.read.len();
        let result = again(|| poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read));
        if let Poll::Ready(Ok(n)) = &result {
            self.full_read = *n == room;
            self.took(*n);
        }
        result
    }

    #[inline]
    fn took(&mut self, bytes: usize) {
        if std::mem::take(&mut self.woken) || bytes >= SHORT_READ_BYTES {
            self.short = bytes < SHORT_READ_BYTES;
        }
        self.shares = self.read.len() > COPIED_BYTES_MAX;
    }
}

/// Makes a call until a signal does not interrupt it: that is no fault of the stream's.
#[inline]
pub(super) fn again<T>(mut call: impl FnMut() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    loop {
        match call() {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
