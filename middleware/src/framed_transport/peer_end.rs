//! How the end of the peer is found while nothing is decoded.

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, ReadBuf},
    task::coop::unconstrained,
};

use super::{FramedTransport, blocks::COPY_BYTES_MAX, flags::Flag, read::retry_interrupted};
use crate::transport::PeerEnd;

/// Most bytes of one read ahead.
const READ_BYTES_MAX: usize = 4 * 1024;

impl<Io: AsyncRead + Unpin, Codec> FramedTransport<Io, Codec> {
    /// Reads ahead until the input ends or `bytes_max` bytes are buffered.
    ///
    /// Behind those, the stream is asked by a read into an empty buffer. Most streams have no answer, and
    /// the end is then [hidden](PeerEnd::Hidden) until the input is read; one that knows of it fails with
    /// [`ErrorKind::UnexpectedEof`], or with the error that ended the connection.
    pub(super) fn poll_read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<PeerEnd>> {
        self.return_read_block(COPY_BYTES_MAX);
        while !self.flags.has(Flag::Ended) && self.read.len() < bytes_max {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES_MAX];
            let room = (bytes_max - self.read.len()).min(READ_BYTES_MAX);
            let mut buf = ReadBuf::uninit(&mut bytes[..room]);
            ready!(self.poll_read_unconstrained(cx, &mut buf))?;
            if buf.filled().is_empty() {
                self.flags.set(Flag::Ended, true);
                self.flags.set(Flag::Decodable, true);
            } else {
                self.read.extend_from_slice(buf.filled());
                self.flags.set(Flag::ReadAhead, true);
            }
        }
        Poll::Ready(match self.poll_read_unconstrained(cx, &mut ReadBuf::new(&mut [])) {
            Poll::Ready(Err(error)) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
            Poll::Ready(Err(_)) => Ok(PeerEnd::HalfClosed),
            _ if self.flags.has(Flag::Ended) => Ok(PeerEnd::HalfClosed),
            _ => Ok(PeerEnd::Hidden),
        })
    }

    /// The call that waits may have used up the budget of the task, without which a read is pending
    /// whatever the socket holds.
    fn poll_read_unconstrained(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = std::future::poll_fn(|cx| {
            retry_interrupted(|| Pin::new(&mut self.io).poll_read(cx, buf))
        });
        pin!(unconstrained(read)).poll(cx)
    }
}
