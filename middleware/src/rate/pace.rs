//! The frames of a batch that wait until they are within the rate.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

use super::layer::Shared;
use crate::{
    Batch, BoxError,
    protocol::Protocol,
    response::{Closes, IntoResponse, ReplyParts, sealed::Then},
    rest::BoxRest,
};

/// The replies to frames that wait, as a stream. Frames that the rate allows by then are served as one batch.
pub(super) struct Paced<S: Service<Batch<P>>, P: Protocol> {
    service: S,
    shared: Arc<Shared>,
    /// Frames that are not served yet.
    batch: Batch<P>,
    /// Frames that would be served later than this are shed.
    deadline: Instant,
    step: Step<S, P>,
}

enum Step<S: Service<Batch<P>>, P: Protocol> {
    Waiting(Pin<Box<Sleep>>),
    Calling(Pin<Box<Oneshot<S, Batch<P>>>>),
    /// Further parts of the reply to the batch that was served.
    Parts(ReplyParts),
    Rest(BoxRest),
    /// The service has closed the connection.
    Closing,
    /// The next frame would wait too long.
    Late,
    Done,
}

// Nothing in it is pinned in place: timers and calls are boxed.
impl<S: Service<Batch<P>>, P: Protocol> Unpin for Paced<S, P> {}

impl<S: Service<Batch<P>>, P: Protocol> Paced<S, P> {
    /// Serves `batch`, whose first frame must wait for `wait` from `now` on.
    pub(super) fn new(
        service: S,
        shared: Arc<Shared>,
        batch: Batch<P>,
        now: Instant,
        wait: Duration,
        at_most: Duration,
    ) -> Self {
        // `at_most` may be longer than an `Instant` can express.
        let deadline = now.checked_add(at_most).unwrap_or_else(|| now + FAR);
        let step = Step::wait(now, wait, deadline);
        Self { service, shared, batch, deadline, step }
    }

    /// Whether the frames that are left would wait too long.
    pub(super) const fn is_late(&self) -> bool {
        matches!(self.step, Step::Late)
    }

    /// Sheds the frames that are left, and returns the replies to them.
    pub(super) fn refuse(&mut self) -> Batch<P> {
        self.step = Step::Done;
        self.shared.refusal(std::mem::take(&mut self.batch).count())
    }

    /// First goes on with the reply to the frames that were served at once.
    pub(super) fn behind(mut self, then: Then) -> Self {
        if !matches!(then, Then::Next) {
            self.step = self.step_behind(then);
        }
        self
    }

    fn step_behind(&self, then: Then) -> Step<S, P> {
        match then {
            Then::Next | Then::Call if self.batch.is_empty() => Step::Done,
            Then::Next | Then::Call => {
                let now = Instant::now();
                Step::wait(now, self.shared.wait(now), self.deadline)
            }
            Then::Parts(parts) => Step::Parts(parts),
            Then::Rest(rest) => Step::Rest(rest),
            Then::Close(_) => Step::Closing,
            // Only sessions say these, which are not paced.
            Then::Reframe { .. } | Then::Detach { .. } | Then::Secure { .. } => Step::Closing,
        }
    }
}

/// Longer than any wait: no quota makes a frame wait for more than 27 years.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

impl<S: Service<Batch<P>>, P: Protocol> Step<S, P> {
    fn wait(now: Instant, wait: Duration, deadline: Instant) -> Self {
        match now.checked_add(wait) {
            Some(then) if then <= deadline => Self::Waiting(Box::pin(sleep_until(then))),
            _ => Self::Late,
        }
    }
}

impl<S, P> Stream for Paced<S, P>
where
    S: Service<Batch<P>, Error: Into<BoxError>> + Clone,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.step {
                Step::Waiting(timer) => {
                    // Without this the timer is pending when its task's budget is used up, and the frames late.
                    ready!(pin!(unconstrained(timer.as_mut())).poll(cx));
                    let now = Instant::now();
                    let (taken, wait) = this.shared.take_up_to(this.batch.count() as u32, now);
                    this.step = match taken {
                        // Another clone took it.
                        0 => Step::wait(now, wait, this.deadline),
                        _ => {
                            let batch = this.batch.split_to(taken as usize);
                            Step::Calling(Box::pin(this.service.clone().oneshot(batch)))
                        }
                    };
                }
                Step::Calling(call) => {
                    let response = ready!(call.as_mut().poll(cx)).map_err(Into::into)?;
                    let (replies, then) = response.into_parts();
                    this.step = this.step_behind(then);
                    return Poll::Ready(Some(Ok(replies.into_bytes())));
                }
                Step::Parts(parts) => match ready!(parts.as_mut().poll_next(cx)) {
                    None => this.step = this.step_behind(Then::Next),
                    part => return Poll::Ready(part),
                },
                Step::Rest(rest) => match ready!(rest.as_mut().poll_part(cx)) {
                    None => this.step = this.step_behind(Then::Next),
                    Some(part) => return Poll::Ready(Some(part.map(|part| part.bytes.freeze()))),
                },
                Step::Closing => return Poll::Ready(Some(Err(Closes.into()))),
                Step::Late => return Poll::Ready(Some(Ok(this.refuse().into_bytes()))),
                Step::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<S: Service<Batch<P>>, P: Protocol> fmt::Debug for Paced<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("batch", &self.batch).finish_non_exhaustive()
    }
}
