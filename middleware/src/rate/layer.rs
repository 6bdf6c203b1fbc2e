//! A rate for the frames of a connection, before a service of batches.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{Quota, pace::Paced};
use crate::{
    Batch, BoxError, Response,
    macros::service_accessors,
    protocol::{Notice, Protocol},
    reply::ReplyError,
    response::{IntoResponse, sealed::Then},
};

/// What happens to frames above the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Excess {
    /// Frames above the rate are not served: each is answered with an error in the words of the protocol, by
    /// default `too fast`. The default.
    #[default]
    Shed,
    /// Frames above the rate wait, and with them everything that the peer sent behind them: its connection is not
    /// read meanwhile, so TCP slows the peer down.
    Pace {
        /// The longest wait of a frame, from the call of its batch on. Frames that would wait longer are shed
        /// at once. A batch has up to 16,384 frames.
        at_most: Duration,
    },
}

/// Serves frames up to a rate, and sheds or delays those above it.
///
/// *Does*: takes one from its [`Quota`] for each frame; a batch that is within the rate as a whole goes through
/// as it is, and of any other the first frames are served and answered at once. *Does not*: reorder replies,
/// count bytes, or hold anything for a frame that waits but its bytes. *Goes*: outermost of the layers of a
/// program's own. *Costs*: a reading of the clock and a lock, contended only if connections share the quota; about
/// 50 ns a batch.
///
/// It responds with a [`Response`]. Its later parts are the replies to frames that waited, which are served after
/// the call has ended. So layers *outside* of this one, such as the server's own timeout and concurrency limit,
/// hold only for frames that are served at once, and a frame that waits does not use them up. To limit the
/// frames that waited as well, put a [`TimeoutLayer`](crate::TimeoutLayer) or a
/// [`ConcurrencyLimitLayer`](crate::ConcurrencyLimitLayer) inside, within an
/// [`ErrorReplyLayer`](crate::ErrorReplyLayer). An error ends the connection, as that of any service.
///
/// Made by [`RateLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct Rate<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// The state that clones of a [`Rate`] share.
#[derive(Debug)]
pub(super) struct Shared {
    // A connection serves one batch at a time, so a quota of its own is never contended.
    quota: Mutex<Quota>,
    excess: Excess,
    error: ReplyError,
}

impl Shared {
    /// How many of `frames` may be served now, and how long the next one must wait.
    pub(super) fn take_up_to(&self, frames: u32, now: Instant) -> (u32, Duration) {
        let mut quota = self.quota();
        let taken = quota.take_up_to(frames, now);
        let wait = if taken == frames { Duration::ZERO } else { quota.wait(now) };
        (taken, wait)
    }

    /// How long until a frame may be served.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.quota().wait(now)
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replies to `frames` frames that are shed.
    pub(super) fn refusal<P: Protocol>(&self, frames: usize) -> Batch<P> {
        Batch::notice(&Notice::ReplyError(&self.error), u32::try_from(frames).unwrap_or(u32::MAX))
    }
}

impl<S> Rate<S> {
    service_accessors!();
}

impl<S, P> Service<Batch<P>> for Rate<S>
where
    S: Service<Batch<P>, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    type Response = Response<P>;
    type Error = BoxError;
    type Future = ResponseFuture<S, P, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut batch: Batch<P>) -> Self::Future {
        let (now, count) = (Instant::now(), batch.count());
        let (taken, wait) = self.shared.take_up_to(count as u32, now);
        if taken as usize == count {
            return ResponseFuture { first: First::of(self.inner.call(batch)), rest: None };
        }
        let first = match taken {
            0 => First::Nothing,
            _ => First::of(self.inner.call(batch.split_to(taken as usize))),
        };
        let at_most = match self.shared.excess {
            Excess::Shed => Duration::ZERO,
            Excess::Pace { at_most } => at_most,
        };
        let (service, shared) = (self.inner.clone(), self.shared.clone());
        let rest = Paced::new(service, shared, batch, now, wait, at_most);
        ResponseFuture { first, rest: Some(Box::new(rest)) }
    }
}

pin_project! {
    /// Response future of [`Rate`].
    pub struct ResponseFuture<S, P, F>
    where
        S: Service<Batch<P>>,
        P: Protocol,
    {
        #[pin]
        first: First<F>,
        // Boxed, because most batches have none and every call's future is moved.
        rest: Option<Box<Paced<S, P>>>,
    }
}

pin_project! {
    /// The frames that are served at once.
    #[project = FirstProjection]
    enum First<F> {
        Nothing,
        Call { #[pin] future: F },
    }
}

impl<F> First<F> {
    const fn of(future: F) -> Self {
        Self::Call { future }
    }
}

impl<S, P> Future for ResponseFuture<S, P, S::Future>
where
    S: Service<Batch<P>, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + 'static,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    type Output = Result<Response<P>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (replies, then) = match this.first.project() {
            FirstProjection::Nothing => (Batch::default(), Then::Next),
            FirstProjection::Call { future } => {
                ready!(future.poll(cx)).map_err(Into::into)?.into_parts()
            }
        };
        Poll::Ready(Ok(match (this.rest.take(), then) {
            (None, then) | (Some(_), then @ Then::Close(_)) => Response::of(replies, then),
            // The usual case: errors go out with the replies, in one write.
            (Some(mut rest), Then::Next) if rest.is_late() => {
                joined(replies, &rest.refuse()).into()
            }
            (Some(rest), then) => Response::from(replies).parts(rest.behind(then)),
        }))
    }
}

impl<S: Service<Batch<P>>, P: Protocol, F> std::fmt::Debug for ResponseFuture<S, P, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// Appends the replies of `second` to those of `first`.
fn joined<P: Protocol>(first: Batch<P>, second: &Batch<P>) -> Batch<P> {
    if first.as_bytes().is_empty() {
        return second.clone();
    }
    let count = first.count() + second.count();
    let mut bytes = first.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    bytes.extend_from_slice(second.as_bytes());
    Batch::counted(bytes, count as u32)
}

/// Layer for [`Rate`]: one quota for each service that it makes, shared by the clones of that service.
///
/// So in `serve_with`, which makes a service for each connection, each connection has a quota of its own; in
/// `serve`, which clones one service, all connections have one together.
///
/// Tower's `RateLimit` does not fit here. It counts calls, and a call is a batch, so it does not limit a peer that
/// sends everything at once; it holds its batch back in `poll_ready`; and it is not `Clone`, so it cannot be
/// served.
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, service_fn};
/// use towline_middleware::{
///     BoxError, ErrorReplyLayer, Lines, LinesBatchCodec, TimeoutLayer,
///     drain::Watch,
///     rate::{Excess, Quota, RateLayer},
///     serve_connection,
/// };
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let echo = service_fn(|lines: Lines| async move { Ok::<_, BoxError>(lines) });
/// let rate = RateLayer::new(Quota::per_second(10).burst(2));
/// let service = ServiceBuilder::new().layer(rate.clone()).service(echo);
///
/// let (mut client, server) = tokio::io::duplex(64);
/// tokio::spawn(serve_connection(server, LinesBatchCodec::new(64), service, Watch::never()));
/// client.write_all(b"a\nb\nc\nd\n").await?;
/// let mut replies = [0; 30];
/// client.read_exact(&mut replies).await?;
/// assert_eq!(&replies, b"a\nb\nERR too fast\nERR too fast\n");
///
/// // Frames that waited pass only the layers inside of the rate.
/// let patient = ServiceBuilder::new()
///     .layer(rate.excess(Excess::Pace { at_most: Duration::from_secs(1) }))
///     .layer(ErrorReplyLayer::new())
///     .layer(TimeoutLayer::new(Duration::from_secs(5)))
///     .service(echo);
/// # let (mut client, server) = tokio::io::duplex(64);
/// # tokio::spawn(serve_connection(server, LinesBatchCodec::new(64), patient, Watch::never()));
/// client.write_all(b"a\nb\nc\nd\n").await?;
/// let mut replies = [0; 8];
/// client.read_exact(&mut replies).await?; // `c` after 100 ms, `d` after 200
/// assert_eq!(&replies, b"a\nb\nc\nd\n");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct RateLayer {
    quota: Quota,
    excess: Excess,
    error: ReplyError,
}

impl RateLayer {
    /// Serves frames within `quota`, and sheds the others.
    pub const fn new(quota: Quota) -> Self {
        // The code is that of other refusals in protocols that have some.
        let error = ReplyError::with_code(451, "too fast");
        Self { quota, excess: Excess::Shed, error }
    }

    /// What happens to frames above the rate. Default: [`Excess::Shed`].
    #[must_use]
    pub const fn excess(mut self, excess: Excess) -> Self {
        self.excess = excess;
        self
    }

    /// The reply to a frame that is shed, [in the words of the protocol](Notice::ReplyError). It does not close the
    /// connection, even if it is [fatal](ReplyError::fatal). Default: `too fast`.
    #[must_use]
    pub fn error(mut self, error: ReplyError) -> Self {
        self.error = error;
        self
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = Rate<S>;

    fn layer(&self, inner: S) -> Rate<S> {
        let Self { quota, excess, error } = self.clone();
        Rate { inner, shared: Arc::new(Shared { quota: Mutex::new(quota), excess, error }) }
    }
}
