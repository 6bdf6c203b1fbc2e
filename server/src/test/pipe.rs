//! A connection in memory, with the faults of a network.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use tokio_util::bytes::{Buf, Bytes, BytesMut};

use super::record::{Record, Side};

/// Bytes that a client keeps for a test that does not read them. Beyond that the server meets back-pressure.
pub(super) const UNREAD_BYTES_MAX: usize = 16 << 20;

/// A connection, as both ends share it.
#[derive(Debug, Clone)]
pub(super) struct Pipe(Arc<Mutex<State>>);

/// What the client and the server have done, and not seen yet of each other.
#[derive(Debug)]
pub(super) struct State {
    /// What the client sent, in the pieces in which it arrives.
    sent: VecDeque<Bytes>,
    /// A piece arrived just now: the next one takes until the server has looked in vain.
    pause: bool,
    half_closed: bool,
    reset: bool,
    /// What the server said, unread.
    pub(super) said: BytesMut,
    /// Bytes that the client takes at once; `None`: all.
    pub(super) take_max: Option<usize>,
    /// The server has closed its sending side, or is gone.
    pub(super) closed: bool,
    /// The client is gone: what the server says is lost.
    gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    client: Option<Waker>,
    pub(super) record: Record,
}

impl Pipe {
    /// A connection that is recorded from `begun` on.
    pub(super) fn new(begun: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            sent: VecDeque::new(),
            pause: false,
            half_closed: false,
            reset: false,
            said: BytesMut::new(),
            take_max: None,
            closed: false,
            gone: false,
            reader: None,
            writer: None,
            client: None,
            record: Record::new(begun),
        })))
    }

    /// The stream of the server.
    pub(super) fn server_end(&self) -> ServerEnd {
        ServerEnd(self.clone())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the client does.
impl State {
    /// Sends bytes that arrive in one piece.
    pub(super) fn send(&mut self, bytes: Bytes) {
        if !self.half_closed && !self.reset && !bytes.is_empty() {
            self.record.add(Side::Client, &bytes);
            self.sent.push_back(bytes);
            wake(&mut self.reader);
        }
    }

    /// Bytes that the server has not read.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.sent.iter().map(Bytes::len).sum()
    }

    /// Sets how many bytes are taken at a time from now on; `None` for all that there are.
    pub(super) fn take(&mut self, max: Option<usize>) {
        self.take_max = max;
        wake(&mut self.writer);
    }

    /// Takes what the server said out of the buffer.
    pub(super) fn consume(&mut self, bytes: usize) -> BytesMut {
        wake(&mut self.writer);
        self.said.split_to(bytes)
    }

    /// Bytes that the server said and nothing took.
    pub(super) fn unread(&self) -> usize {
        self.said.len()
    }

    /// Sends no more.
    pub(super) fn half_close(&mut self) {
        if !self.half_closed && !self.reset {
            self.half_closed = true;
            if !self.gone {
                self.record.event("the client closed its sending side");
            }
            wake(&mut self.reader);
        }
    }

    /// Ends both directions; what is on its way is lost.
    pub(super) fn reset(&mut self) {
        if !self.reset {
            self.reset = true;
            self.sent.clear();
            self.record.event("the client reset the connection");
            wake(&mut self.reader);
            wake(&mut self.writer);
            // A client waits in vain.
            self.closed = true;
            wake(&mut self.client);
        }
    }

    /// The client is dropped: closed, and without a reader.
    pub(super) fn leave(&mut self) {
        self.gone = true;
        self.said.clear();
        self.take(None);
        self.half_close();
    }

    /// Wakes the task of `cx` when the server says something or closes.
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        self.client = Some(cx.waker().clone());
    }

    /// Records that the server closed.
    fn close(&mut self, how: &str) {
        if !self.closed {
            self.closed = true;
            self.record.event(how);
            wake(&mut self.client);
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    waker.take().into_iter().for_each(Waker::wake);
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// The server's end of a [`Pipe`]: what its stack has in the place of a socket.
#[derive(Debug)]
pub(super) struct ServerEnd(Pipe);

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut guard = self.0.state();
        let state = &mut *guard;
        if state.reset {
            return Poll::Ready(Err(reset()));
        }
        // As the server's sockets do: the question whether the peer has ended, whatever is unread.
        if buf.remaining() == 0 {
            let ended = state.half_closed.then(|| io::ErrorKind::UnexpectedEof.into());
            return Poll::Ready(ended.map_or(Ok(()), Err));
        }
        if std::mem::take(&mut state.pause) && !state.sent.is_empty() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(piece) = state.sent.front_mut() else {
            if state.half_closed {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let bytes = piece.len().min(buf.remaining());
        buf.put_slice(&piece[..bytes]);
        piece.advance(bytes);
        if piece.is_empty() {
            state.sent.pop_front();
            state.pause = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut guard = self.0.state();
        let state = &mut *guard;
        if state.reset {
            return Poll::Ready(Err(reset()));
        }
        if state.gone {
            return Poll::Ready(Ok(bytes.len()));
        }
        let most = state.take_max.unwrap_or(UNREAD_BYTES_MAX);
        let room = most.saturating_sub(state.said.len()).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.record.add(Side::Server, &bytes[..room]);
        state.said.extend_from_slice(&bytes[..room]);
        wake(&mut state.client);
        Poll::Ready(Ok(room))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.state().close("the server closed its sending side");
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.close("the server closed the connection");
        state.sent.clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_one_by_one_and_the_end_behind_them() {
        let pipe = Pipe::new(Instant::now());
        let mut server = pipe.server_end();
        pipe.state().send(Bytes::from_static(b"ab"));
        pipe.state().send(Bytes::from_static(b"c"));
        pipe.state().half_close();
        let mut first = [0; 8];
        assert_eq!(server.read(&mut first).await.expect("a piece"), 2);
        let pending = std::future::poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut first);
            Poll::Ready(Pin::new(&mut server).poll_read(cx, &mut buf).is_pending())
        });
        assert!(pending.await, "the next piece takes a moment");
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.expect("the end");
        assert_eq!(rest, b"c");
        let end = server.read(&mut []).await.expect_err("the end is known");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_holds_the_server_up_and_a_reset_ends_both_ways() {
        let pipe = Pipe::new(Instant::now());
        let mut server = pipe.server_end();
        pipe.state().take(Some(3));
        assert_eq!(server.write(b"hello").await.expect("a part"), 3);
        let taken = pipe.clone();
        let resumed = tokio::spawn(async move { server.write(b"lo").await.map(|n| (n, server)) });
        tokio::task::yield_now().await;
        assert_eq!(&taken.state().consume(3)[..], b"hel");
        let (written, mut server) = resumed.await.expect("it runs").expect("there is room");
        assert_eq!(written, 2);
        pipe.state().send(Bytes::from_static(b"lost"));
        pipe.state().reset();
        for kind in [server.read(&mut [0]).await, server.write(b"x").await].map(Result::unwrap_err)
        {
            assert_eq!(kind.kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
