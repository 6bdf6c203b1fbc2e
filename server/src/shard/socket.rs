//! A socket read and written by plain system calls.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Room up to which a read goes to the kernel directly. It is cleared first, if it was not, so it has to
/// be small.
const DIRECT_BYTES_MAX: usize = 256;

/// Tokio's socket, without the C library between it and the kernel where that shows.
///
/// In a process of several threads glibc makes each `recv` and `send` a place where the thread could
/// be cancelled: four locked instructions for a line that comes and goes, which is more than all of
/// counting it. Writes, and reads into little room, therefore skip it. Larger reads do not: room that
/// was never written to can be handed to the kernel by unsafe code only.
#[derive(Debug)]
pub(super) struct Socket<S>(S);

impl<S> Socket<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self(socket)
    }
}

/// What tokio's sockets have in common, and no trait of its own.
pub(crate) trait TokioSocket: AsyncRead + AsyncWrite + AsFd + Unpin {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_io<T>(&self, on: Interest, io: impl FnOnce() -> io::Result<T>) -> io::Result<T>;
}

macro_rules! tokio_socket {
    ($socket:ty) => {
        impl TokioSocket for $socket {
            #[inline]
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }

            #[inline]
            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            #[inline]
            fn try_io<T>(&self, on: Interest, io: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
                self.try_io(on, io)
            }
        }
    };
}

tokio_socket!(TcpStream);
tokio_socket!(UnixStream);

impl<S: TokioSocket> Socket<S> {
    /// Makes a system call that moves at most `most` bytes, if the kernel last said that it can move
    /// some; `None` if it cannot. When it moves fewer than that there is no more to move now, so the
    /// socket is not tried again before the kernel says that there is.
    #[inline]
    fn transfer(
        &self,
        on: Interest,
        most: usize,
        call: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<rustix::io::Result<usize>> {
        let mut done = None;
        let _ = self.0.try_io(on, || {
            let result = call();
            // This is how tokio is told; as the call began after its look, no news is lost.
            let dry = || Err(io::ErrorKind::WouldBlock.into());
            match result {
                Err(Errno::WOULDBLOCK) => return dry(),
                other => done = Some(other),
            }
            if result.is_ok_and(|n| 0 < n && n < most) { dry() } else { Ok(()) }
        });
        done
    }
}

impl<S: TokioSocket> AsyncRead for Socket<S> {
    // As in `MeteredIo`, which calls it.
    #[inline(always)]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = buf.remaining();
        if most > DIRECT_BYTES_MAX {
            return Pin::new(&mut self.0).poll_read(cx, buf);
        }
        loop {
            let read = self.transfer(Interest::READABLE, most, || {
                recv(&self.0, buf.initialize_unfilled(), RecvFlags::empty()).map(|(n, _)| n)
            });
            if let Some(read) = read {
                buf.advance(read?);
                return Poll::Ready(Ok(()));
            }
            // Asked for second, because it costs as much again as the call's own way to the kernel.
            ready!(self.0.poll_read_ready(cx))?;
        }
    }
}

impl<S: TokioSocket> AsyncWrite for Socket<S> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = self.transfer(Interest::WRITABLE, bytes.len(), || {
                // Who writes to a peer that is gone gets an error, not a signal.
                send(&self.0, bytes, SendFlags::NOSIGNAL)
            });
            if let Some(written) = written {
                return Poll::Ready(written.map_err(Into::into));
            }
            ready!(self.0.poll_write_ready(cx))?;
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
