//! Tokio's socket, read and written by direct system calls where that is faster.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, SocketAddrUnix, getpeername, getsockname, recv, send, sockopt},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    net::{TcpStream, UnixStream},
};

use super::{
    Peer,
    receive_buffer::{self, LARGE_READ_BYTES},
};
use crate::closed::{EndedSocket, SocketFigures, figures};

/// Largest read that is a direct system call. Safe code has to clear the buffer first, so it is small.
const DIRECT_BYTES_MAX: usize = 256;

/// A Tokio socket that knows of its peer's end, and whose writes and small reads skip the C library.
///
/// In a process with several threads glibc makes each `recv` and `send` a cancellation point: four
/// locked instructions for a line and its reply, more than all the counting of that line. Larger reads
/// go through Tokio, because only unsafe code can pass uninitialised memory to the kernel.
///
/// A read into an empty buffer fails if the peer has ended the connection, even if input that was not read
/// lies in front of the end: with `UnexpectedEof` if the peer sends no more, else with the error of the
/// connection. It makes no system call unless there is an error.
#[derive(Debug)]
pub(crate) struct Socket<S: AsFd>(S);

impl<S: AsFd> Socket<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self(socket)
    }

    /// The peer, if the socket still has one.
    pub(super) fn peer(&self) -> Option<Peer> {
        let address = getpeername(&self.0).ok()?;
        Some(Peer::new(address.and_then(|address| address.try_into().ok())))
    }
}

impl<S: AsFd> AsFd for Socket<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<S: AsFd> EndedSocket for Socket<S> {
    fn peer(&self) -> Option<Peer> {
        Self::peer(self)
    }

    fn listener(&self) -> Option<String> {
        let address = getsockname(&self.0).ok()?;
        if let Ok(unix) = SocketAddrUnix::try_from(address.clone()) {
            return Some(format!("unix:{}", unix.path()?.to_string_lossy()));
        }
        let address = SocketAddr::try_from(address).ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()).to_string())
    }

    fn figures(&self) -> Option<SocketFigures> {
        figures::take(&self.0).or_else(|| SocketFigures::of(&self.0, false))
    }
}

impl<S: AsFd> Drop for Socket<S> {
    fn drop(&mut self) {
        receive_buffer::on_close(&self.0);
        figures::take(&self.0);
    }
}

/// The methods that Tokio's TCP and UNIX sockets share without a trait.
pub(crate) trait TokioSocket: AsyncRead + AsyncWrite + AsFd + Unpin {
    /// Whether the socket has a receive buffer of its own, which its peer fills.
    const HAS_RECEIVE_BUFFER: bool;
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_io<T>(&self, on: Interest, io: impl FnOnce() -> io::Result<T>) -> io::Result<T>;
    /// What the runtime knows of the input, without waiting.
    fn read_readiness(&self) -> Ready;
}

macro_rules! tokio_socket {
    ($socket:ty, $has_receive_buffer:expr) => {
        impl TokioSocket for $socket {
            const HAS_RECEIVE_BUFFER: bool = $has_receive_buffer;

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

            fn read_readiness(&self) -> Ready {
                let ready = pin!(self.ready(Interest::READABLE | Interest::ERROR));
                match ready.poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Ok(ready)) => ready,
                    _ => Ready::EMPTY,
                }
            }
        }
    };
}

tokio_socket!(TcpStream, true);
// What a UNIX socket was sent is in the buffer of its sender.
tokio_socket!(UnixStream, false);

impl<S: TokioSocket> Socket<S> {
    /// Looks at the input without taking it, again each time that more has come, until `decide` returns something.
    /// It is called with all input so far, as much as `block` holds, and whether no more follows; then it must
    /// decide.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` if nothing is decided at the end.
    pub(super) async fn peek_until<T>(
        &self,
        block: &mut [u8],
        mut decide: impl FnMut(&[u8], bool) -> Option<T>,
    ) -> io::Result<T> {
        let mut seen = 0;
        loop {
            poll_fn(|cx| self.0.poll_read_ready(cx)).await?;
            // Read before the input: what had come by then is in it.
            let ended = self.0.read_readiness().is_read_closed();
            let decided = self.0.try_io(Interest::READABLE, || {
                let (length, _) = recv(&self.0, &mut *block, RecvFlags::PEEK)?;
                let is_last = length == 0 || (ended && length == seen) || length == block.len();
                seen = length;
                match decide(&block[..length], is_last) {
                    Some(decided) => Ok(decided),
                    None if is_last => Err(io::ErrorKind::UnexpectedEof.into()),
                    // Tokio waits for the next event of the kernel: more input, or the end.
                    None => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
            match decided {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                decided => return decided,
            }
        }
    }

    /// Takes and discards input that was looked at.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` if there is less.
    pub(super) fn discard(&self, mut bytes: usize) -> io::Result<()> {
        let mut block = [0; 256];
        while bytes > 0 {
            let wanted = bytes.min(block.len());
            let (length, _) = recv(&self.0, &mut block[..wanted], RecvFlags::empty())?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes -= length;
        }
        Ok(())
    }

    /// Hands the kernel bytes that it sends with the end of the connection, which must follow at once: one segment in
    /// the place of two. Returns how many bytes it took now.
    ///
    /// # Errors
    /// Those of the socket.
    #[cfg(feature = "tls")]
    pub(super) fn send_with_end(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        let sent = self.transfer(Interest::WRITABLE, bytes.len(), || send(&self.0, bytes, flags));
        sent.map_or(Ok(0), |sent| Ok(sent?))
    }

    /// Makes a system call that transfers at most `bytes_max` bytes, if Tokio's cached readiness says
    /// that the socket is ready; returns `None` if it is not. A shorter transfer clears the cached
    /// readiness, so the next call waits for an event of the kernel instead of failing first.
    #[inline]
    fn transfer(
        &self,
        on: Interest,
        bytes_max: usize,
        call: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<rustix::io::Result<usize>> {
        let mut done = None;
        let _ = self.0.try_io(on, || {
            let result = call();
            // `WouldBlock` makes Tokio clear the readiness it read before the call; an event that came
            // since then is kept.
            let clear_ready = || Err(io::ErrorKind::WouldBlock.into());
            match result {
                Err(Errno::WOULDBLOCK) => return clear_ready(),
                other => done = Some(other),
            }
            if result.is_ok_and(|n| 0 < n && n < bytes_max) { clear_ready() } else { Ok(()) }
        });
        done
    }

    /// Reads through Tokio.
    fn poll_read_block(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buf.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        if S::HAS_RECEIVE_BUFFER && buf.filled().len() - filled >= LARGE_READ_BYTES {
            receive_buffer::on_large_read(&self.0);
        }
        read
    }

    /// Fails if the peer has ended the connection, as far as the runtime knows. The kernel reports that
    /// once, whether or not a task waits for it.
    #[cold]
    fn peer_end(&self) -> io::Result<()> {
        let ready = self.0.read_readiness();
        if ready.is_error() {
            // The error may have been fetched already.
            return Err(match sockopt::socket_error(&self.0) {
                Ok(Err(error)) => error.into(),
                _ => io::ErrorKind::ConnectionReset.into(),
            });
        }
        if ready.is_read_closed() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl<S: TokioSocket> AsyncRead for Socket<S> {
    // As in `MeteredIo`, its caller: the compiler would emit a call for it, twice a line.
    #[inline(always)]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes_max = buf.remaining();
        // One comparison for both exceptions: none wraps to most.
        if bytes_max.wrapping_sub(1) >= DIRECT_BYTES_MAX {
            return match bytes_max {
                0 => Poll::Ready(self.peer_end()),
                _ => self.poll_read_block(cx, buf),
            };
        }
        loop {
            let read = self.transfer(Interest::READABLE, bytes_max, || {
                recv(&self.0, buf.initialize_unfilled(), RecvFlags::empty()).map(|(n, _)| n)
            });
            if let Some(read) = read {
                buf.advance(read?);
                return Poll::Ready(Ok(()));
            }
            // Readiness second: a woken connection usually has input, and this check costs as much
            // as the rest of the read in user space.
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
                // A write to a closed connection is an error, not a SIGPIPE.
                send(&self.0, bytes, SendFlags::NOSIGNAL)
            });
            if let Some(written) = written {
                return Poll::Ready(written.map_err(Into::into));
            }
            let ready = self.0.poll_write_ready(cx);
            if S::HAS_RECEIVE_BUFFER && ready.is_pending() {
                receive_buffer::on_blocked_write(&self.0);
            }
            ready!(ready)?;
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        figures::before_shutdown(&self.0, || self.0.read_readiness().is_read_closed());
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
