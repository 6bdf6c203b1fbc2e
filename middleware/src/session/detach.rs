//! A connection that is no conversation any more.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Action;
use crate::{
    reply::{IntoReply, Out, Replies},
    thread_context::block_pool::BLOCK_BYTES,
};

/// The rest of a connection as a byte stream, for a future that serves it. Frames end behind the one that it
/// answers.
///
/// *Does*: the connection stays open, counted, listed and limited as it was; its memory is in the metrics; the write
/// deadline holds, and so does the drain, which [`Detached::drain`] tells. It ends when the future does, behind what
/// was written, as [`CloseReason::ServiceClose`](crate::stats::CloseReason::ServiceClose). *Does not*: have
/// heartbeats or idle timeouts, and nothing can be pushed to it. *Costs*: each byte is copied once more each way.
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use towline_middleware::{
///     protocol::Lf,
///     session::{Action, ActionOf, Cx, Detach, FrameOf, Session},
/// };
///
/// struct Shout;
///
/// impl Session for Shout {
///     type Protocol = Lf;
///
///     fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         cx.write("go ahead");
///         Action::Detach(Detach::new(|mut stream| async move {
///             let mut piece = [0; 1024];
///             while let Ok(n @ 1..) = stream.read(&mut piece).await {
///                 piece[..n].make_ascii_uppercase();
///                 if stream.write_all(&piece[..n]).await.is_err() {
///                     break;
///                 }
///             }
///         }))
///     }
/// }
/// ```
#[must_use = "a connection is detached by returning it"]
pub struct Detach(Box<Serve>);

/// In a box of its own, so that an [`Action`] returns in two registers.
type Serve = Box<dyn FnOnce(Detached) -> DetachedFuture + Send>;

/// What serves a detached connection.
pub(crate) type DetachedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Detach {
    /// Has the future that `serve` makes serve the connection.
    pub fn new<F>(serve: impl FnOnce(Detached) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(Box::new(|detached| Box::pin(serve(detached)))))
    }

    /// The future, and the loop's side of its stream.
    pub(crate) fn begin(self) -> (DetachedFuture, Arc<Bridge>) {
        let bridge = Arc::<Bridge>::default();
        ((self.0)(Detached(bridge.clone())), bridge)
    }
}

impl fmt::Debug for Detach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detach").finish_non_exhaustive()
    }
}

impl<P: Replies, S> IntoReply<P, S> for Detach {
    fn into_reply(self, _: &mut Out<'_, P>) -> Action<P, S> {
        Action::Detach(self)
    }
}

/// The byte stream of a connection that was [detached](Detach). What the peer sent behind the frame comes first.
///
/// A flush waits until the socket has taken everything. A shutdown half-closes the connection.
#[derive(Debug)]
pub struct Detached(Arc<Bridge>);

/// What a detached stream and the loop of its connection share.
#[derive(Default)]
pub(crate) struct Bridge(Mutex<State>);

#[derive(Default)]
struct State {
    /// Came from the peer, and is not read.
    input: Bytes,
    input_end: Option<InputEnd>,
    /// Was written, and is not taken by the connection.
    output: BytesMut,
    /// The connection has taken some, and not sent all of it.
    is_sending: bool,
    is_shut_down: bool,
    /// The server drains.
    drains: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    drain_waiter: Option<Waker>,
    /// The task of the connection.
    connection: Option<Waker>,
}

#[derive(Debug, Clone, Copy)]
enum InputEnd {
    Eof,
    Failed(io::ErrorKind),
}

/// Bytes that a detached stream takes before its writer waits.
const OUTPUT_BYTES_MAX: usize = BLOCK_BYTES;

impl Bridge {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the connection's task woken when the stream is read or written.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        Self::wait(self.state(), cx, |state| &mut state.connection);
    }

    /// Has the task of `cx` woken when what it waits for has come. Wakers are dropped and woken without the lock: the
    /// last one of a task drops the task, which may have the stream.
    fn wait(
        mut state: MutexGuard<'_, State>,
        cx: &Context<'_>,
        place: fn(&mut State) -> &mut Option<Waker>,
    ) {
        let place = place(&mut state);
        if place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        let stale = place.replace(cx.waker().clone());
        drop(state);
        drop(stale);
    }

    /// Whether the next input may be read.
    pub(crate) fn takes_input(&self) -> bool {
        let state = self.state();
        state.input.is_empty() && state.input_end.is_none()
    }

    /// Gives the stream what came. The task of `cx` is not woken, here and below: it polls the future next.
    pub(crate) fn put_input(&self, cx: &Context<'_>, input: Bytes) {
        let mut state = self.state();
        state.input = input;
        let reader = state.reader.take();
        drop(state);
        wake_others(cx, [reader]);
    }

    /// Ends the input: cleanly, or by an error, which fails writers as well.
    pub(crate) fn end_input(&self, cx: &Context<'_>, error: Option<io::ErrorKind>) {
        let mut state = self.state();
        state.input_end = Some(error.map_or(InputEnd::Eof, InputEnd::Failed));
        let waiting = [state.reader.take(), state.writer.take()];
        drop(state);
        wake_others(cx, waiting);
    }

    /// The connection has ended: whatever waits for it fails.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.input_end.get_or_insert(InputEnd::Failed(io::ErrorKind::ConnectionAborted));
        (state.drains, state.is_shut_down) = (true, true);
        let State { reader, writer, drain_waiter, connection, .. } = &mut *state;
        let waiting = [reader.take(), writer.take(), drain_waiter.take()];
        let connection = connection.take();
        drop(state);
        waiting.into_iter().flatten().for_each(Waker::wake);
        drop(connection);
    }

    /// Bytes that are held for the peer and for the reader.
    pub(crate) fn held_bytes(&self) -> usize {
        let state = self.state();
        state.input.len() + state.output.len()
    }

    /// Takes what was written, to send it.
    pub(crate) fn take_output(&self) -> BytesMut {
        let mut state = self.state();
        state.is_sending = !state.output.is_empty();
        std::mem::take(&mut state.output)
    }

    /// Whether nothing more will be written, and everything was taken.
    pub(crate) fn is_shut_down(&self) -> bool {
        let state = self.state();
        state.is_shut_down && state.output.is_empty()
    }

    /// Everything that was taken is sent.
    pub(crate) fn sent(&self, cx: &Context<'_>) {
        let mut state = self.state();
        state.is_sending = false;
        let writer = state.writer.take();
        drop(state);
        wake_others(cx, [writer]);
    }

    pub(crate) fn begin_drain(&self, cx: &Context<'_>) {
        let mut state = self.state();
        state.drains = true;
        let waiting = state.drain_waiter.take();
        drop(state);
        wake_others(cx, [waiting]);
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").finish_non_exhaustive()
    }
}

fn wake_others<const N: usize>(cx: &Context<'_>, waiting: [Option<Waker>; N]) {
    let others = waiting.into_iter().flatten().filter(|waker| !waker.will_wake(cx.waker()));
    others.for_each(Waker::wake);
}

impl Detached {
    /// Ready when the server drains: what is served should come to an end, within `timeouts.drain`.
    pub fn drain(&self) -> Draining {
        Draining(self.0.clone())
    }
}

/// The beginning of the drain of a [`Detached`] connection.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Draining(Arc<Bridge>);

impl Future for Draining {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.0.state();
        if state.drains {
            return Poll::Ready(());
        }
        Bridge::wait(state, cx, |state| &mut state.drain_waiter);
        Poll::Pending
    }
}

impl AsyncRead for Detached {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if !state.input.is_empty() {
            let bytes = state.input.len().min(buf.remaining());
            buf.put_slice(&state.input[..bytes]);
            state.input.advance(bytes);
            if state.input.is_empty() {
                // The block that it was a part of is free.
                state.input = Bytes::new();
                let connection = state.connection.clone();
                drop(state);
                wake_others(cx, [connection]);
            }
            return Poll::Ready(Ok(()));
        }
        match state.input_end {
            Some(InputEnd::Eof) => Poll::Ready(Ok(())),
            Some(InputEnd::Failed(kind)) => Poll::Ready(Err(kind.into())),
            None => {
                Bridge::wait(state, cx, |state| &mut state.reader);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Detached {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        if let Some(InputEnd::Failed(kind)) = state.input_end {
            return Poll::Ready(Err(kind.into()));
        }
        if state.is_shut_down {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = OUTPUT_BYTES_MAX.saturating_sub(state.output.len());
        if room == 0 {
            Bridge::wait(state, cx, |state| &mut state.writer);
            return Poll::Pending;
        }
        let taken = room.min(bytes.len());
        state.output.extend_from_slice(&bytes[..taken]);
        let connection = state.connection.clone();
        drop(state);
        wake_others(cx, [connection]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.0.state();
        match state.input_end {
            Some(InputEnd::Failed(kind)) => Poll::Ready(Err(kind.into())),
            _ if state.output.is_empty() && !state.is_sending => Poll::Ready(Ok(())),
            _ => {
                Bridge::wait(state, cx, |state| &mut state.writer);
                Poll::Pending
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        state.is_shut_down = true;
        let connection = state.connection.clone();
        drop(state);
        wake_others(cx, [connection]);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_shut_down = true;
        state.input_end = Some(InputEnd::Eof);
        let connection = state.connection.take();
        drop(state);
        connection.into_iter().for_each(Waker::wake);
    }
}
