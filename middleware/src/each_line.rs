//! A service per line, behind the batch interface.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

use crate::{BoxError, Line, Lines, macros::service_accessors};

/// Adapts a `Service<Line>` to a `Service<Lines>`: the way to write most protocols.
///
/// *Does*: calls a clone of the inner service for each line, in order, and joins the replies into one
/// batch; each reply gets its `\n`. One line at a time unless [`concurrent`](Self::concurrent) says
/// otherwise; replies keep the order of their lines either way. *Does not*: check replies: one that
/// contains `\n` is several lines to the peer. *Goes*: innermost, or around layers that handle single
/// lines. *Costs*: a clone and a call a line, about 50 ns, and the reply's copy.
///
/// The first error ends the batch, and with it the connection. All replies of a batch are in memory
/// before the first is written, so a service whose replies are much longer than its lines should be
/// given batches of fewer lines: [`LinesBatchCodec::lines_max`](crate::LinesBatchCodec::lines_max).
///
/// ```
/// use tower::{service_fn, Service, ServiceExt};
/// use towline_middleware::{BoxError, EachLine, Line, Lines};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let upper = service_fn(|line: Line| async move { Ok::<_, BoxError>(line.to_ascii_uppercase()) });
/// let reply = EachLine::new(upper).oneshot(Lines::from_iter(["a", "b"])).await?;
/// assert_eq!(reply.as_bytes(), b"A\nB\n");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct EachLine<S> {
    inner: S,
    concurrent: usize,
}

impl<S> EachLine<S> {
    /// Calls `inner` for one line at a time.
    pub const fn new(inner: S) -> Self {
        Self { inner, concurrent: 1 }
    }

    /// Serves up to `lines` of a batch at a time; 0 is taken as 1. Default: 1.
    ///
    /// The limit is that of a batch, and so of a connection. For a limit over all connections put a
    /// [`ConcurrencyLimit`](crate::ConcurrencyLimit) around the inner service.
    #[must_use]
    pub const fn concurrent(mut self, lines: usize) -> Self {
        self.concurrent = if lines == 0 { 1 } else { lines };
        self
    }

    service_accessors!();
}

impl<S> Service<Lines> for EachLine<S>
where
    S: Service<Line> + Clone,
    S::Response: AsRef<[u8]>,
    S::Error: Into<BoxError>,
{
    type Response = Lines;
    type Error = BoxError;
    type Future = ResponseFuture<S>;

    /// Always ready: readiness is asked for with a line in hand.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        ResponseFuture {
            service: self.inner.clone(),
            concurrent: self.concurrent,
            replies: BytesMut::with_capacity(lines.as_bytes().len()),
            lines: Box::new(lines.into_lines()),
            calls: VecDeque::new(),
        }
    }
}

/// A line's call, or its reply while earlier lines have none.
enum Call<S: Service<Line>> {
    Running(Pin<Box<Oneshot<S, Line>>>),
    Done(S::Response),
}

/// Response future of [`EachLine`].
pub struct ResponseFuture<S: Service<Line>> {
    service: S,
    concurrent: usize,
    lines: Box<dyn Iterator<Item = Line> + Send>,
    calls: VecDeque<Call<S>>,
    replies: BytesMut,
}

// Nothing in it is pinned in place: running calls are boxed.
impl<S: Service<Line>> Unpin for ResponseFuture<S> {}

impl<S> Future for ResponseFuture<S>
where
    S: Service<Line> + Clone,
    S::Response: AsRef<[u8]>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Lines, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Once each, so that every running call is registered with this task.
        for call in &mut this.calls {
            if let Call::Running(running) = call
                && let Poll::Ready(reply) = running.as_mut().poll(cx)
            {
                *call = Call::Done(reply.map_err(Into::into)?);
            }
        }
        loop {
            while let Some(Call::Done(_)) = this.calls.front() {
                if let Some(Call::Done(reply)) = this.calls.pop_front() {
                    push(&mut this.replies, &reply);
                }
            }
            if this.calls.len() >= this.concurrent {
                return Poll::Pending;
            }
            // A service that never waits would otherwise hold the thread for the whole batch.
            let budget = ready!(tokio::task::coop::poll_proceed(cx));
            let Some(line) = this.lines.next() else {
                if this.calls.is_empty() {
                    let replies = std::mem::take(&mut this.replies);
                    return Poll::Ready(Ok(Lines::from_terminated(replies)));
                }
                return Poll::Pending;
            };
            budget.made_progress();
            let mut running = Box::pin(this.service.clone().oneshot(line));
            let call = match running.as_mut().poll(cx) {
                Poll::Ready(reply) => Call::Done(reply.map_err(Into::into)?),
                Poll::Pending => Call::Running(running),
            };
            this.calls.push_back(call);
        }
    }
}

fn push(replies: &mut BytesMut, reply: &impl AsRef<[u8]>) {
    replies.extend_from_slice(reply.as_ref());
    replies.extend_from_slice(b"\n");
}

impl<S: Service<Line>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}
