//! A service per line, behind the batch interface.

mod calls;
mod slot;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use self::calls::{Calls, Stop};
use crate::{
    Batch, BoxError, Line, Lines, Response,
    exceeded::Exceeded,
    macros::service_accessors,
    thread_context::block_pool::{put_output, take_output},
};

/// Adapts a `Service<Line>` to a service of [`Lines`], for services that wait and for Tower layers around a line.
///
/// *Does*: calls a clone of the inner service for each line, in order; each reply gets its `\n`. One line at a
/// time unless [`concurrent`](Self::concurrent) says otherwise; replies keep the order of their lines either way.
/// A line whose call fails with Tower's [`Elapsed`](tower::timeout::error::Elapsed) or
/// [`Overloaded`](tower::load_shed::error::Overloaded) is answered `ERR timeout` or `ERR overloaded`, and the next
/// one is served. *Does not*: check replies: one that contains `\n` is several lines to the peer. *Goes*:
/// innermost, or around layers that handle single lines. *Costs*: a clone, a call and the reply's copy a line,
/// some 25 ns for lines of a few bytes; three allocations a batch. With `concurrent` an allocation a line.
///
/// # Parts
/// Replies go to the peer in parts: when a line waits, what was said before it; and what fills 64 KiB. The next
/// part is asked for when the peer has taken enough. So the reply to one line does not wait for the next, and a
/// peer makes the server hold no more than
/// [`output_bytes_max`](crate::serve::Serve::output_bytes_max), a part and the replies of the calls that run,
/// however short its lines and long their replies are.
///
/// Layers around the batch, such as a timeout or a limit of concurrency, see the call that gives the first part,
/// which is done as soon as a line waits behind one that was answered. From then on the loop takes a permit and
/// the request timeout for each wait, where [`Serve::limits`](crate::serve::Serve::limits) gave it some, as the
/// server does. A line that exceeds them is answered as said above together with the lines behind it, which
/// were not served. A limit of your own for every line goes around the inner service.
///
/// # Errors
/// Another error of the inner service ends the connection, behind the replies to the lines before it.
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
    S: Service<Line, Future: Send> + Clone + Send + 'static,
    S::Response: AsRef<[u8]> + Send,
    S::Error: Into<BoxError> + Send,
{
    type Response = Response;
    type Error = BoxError;
    type Future = ResponseFuture<S>;

    /// Always ready: readiness is asked for with a line in hand.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        ResponseFuture { calls: Some(Calls::new(self.inner.clone(), self.concurrent, lines)) }
    }
}

/// Response future of [`EachLine`].
pub struct ResponseFuture<S: Service<Line>> {
    /// `None` when it is done.
    calls: Option<Calls<S>>,
}

// Nothing in it is pinned in place: running calls are boxed.
impl<S: Service<Line>> Unpin for ResponseFuture<S> {}

impl<S> Future for ResponseFuture<S>
where
    S: Service<Line, Future: Send> + Clone + Send + 'static,
    S::Response: AsRef<[u8]> + Send,
    S::Error: Into<BoxError> + Send,
{
    type Output = Result<Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(calls) = &mut self.calls else { return Poll::Ready(Ok(Response::none())) };
        let mut out = take_output(calls.bytes());
        match calls.serve(cx, &mut out) {
            // Nothing is said yet, so that the layers around still see the whole batch.
            Stop::Waits if out.is_empty() => {
                put_output(out);
                return Poll::Pending;
            }
            Stop::Fails(error) if out.is_empty() && Exceeded::of(&error).is_none() => {
                return Poll::Ready(Err(error));
            }
            Stop::Fails(error) => calls.fail(error),
            Stop::Waits | Stop::Full => {}
            Stop::Done => {
                let replies = Batch::counted(out, calls.answered());
                self.calls = None;
                return Poll::Ready(Ok(replies.into()));
            }
        }
        let replies = Batch::counted(out, calls.answered());
        let response = Response::from(replies);
        Poll::Ready(Ok(match self.calls.take() {
            Some(calls) => response.rest(Box::pin(calls)),
            None => response,
        }))
    }
}

impl<S: Service<Line>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("calls", &self.calls).finish()
    }
}
