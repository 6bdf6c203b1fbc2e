//! What happens to a call whose peer ends the connection meanwhile.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep},
};

use super::{
    connection::{Projection, Step, Transition},
    respond::Respond,
};
use crate::{
    Batch, LineError, Transport, protocol::Protocol, stats::CloseReason, transport::PeerEnd,
};

/// Most input that is read ahead of a call to find the peer's end behind it. The rest stays in the
/// socket, and back-pressure reaches the peer.
const READ_AHEAD_BYTES_MAX: usize = 16 * crate::KIB;

/// Time between two checks for the end of a peer that sent more than is read ahead.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What is known of the peer of a call that waits.
#[derive(Debug, Default)]
pub(super) struct PeerWatch {
    half_closed: bool,
    /// The end of the grace period if the peer has half-closed, else the next check.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A call that waits for its service.
pub(super) struct PendingCall<F> {
    pub(super) future: F,
    pub(super) peer: PeerWatch,
}

/// A batch for which the service is not ready yet.
pub(super) struct WaitingBatch<P: Protocol> {
    pub(super) batch: Batch<P>,
    pub(super) peer: PeerWatch,
    /// Set if it waits for the rate of its peer's address, not for the service.
    pub(super) throttled: Option<Pin<Box<Sleep>>>,
}

impl PeerWatch {
    /// Ready when the call must be cancelled; otherwise registered for the time at which it may have to be.
    fn poll_cancel(
        &mut self,
        cx: &mut Context<'_>,
        end: PeerEnd,
        grace: Option<Duration>,
    ) -> Poll<()> {
        if end == PeerEnd::HalfClosed && !self.half_closed {
            *self = Self { half_closed: true, timer: grace.map(|grace| Box::pin(sleep(grace))) };
        } else if end == PeerEnd::Hidden && self.timer.is_none() {
            self.timer = Some(Box::pin(sleep(CHECK_INTERVAL)));
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        while poll_unconstrained(timer, cx).is_ready() {
            if self.half_closed {
                return Poll::Ready(());
            }
            timer.as_mut().reset(Instant::now() + CHECK_INTERVAL);
        }
        Poll::Pending
    }
}

/// The call may have used up its task's budget, without which a timer is pending whatever the time.
fn poll_unconstrained(timer: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    pin!(unconstrained(timer.as_mut())).poll(cx)
}

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Looks for the end of the peer of a batch that waits. Returns how the connection goes on if the
    /// batch is not served any more: after a reset at once, after a half-close when its grace period is
    /// over.
    #[inline(never)]
    pub(super) fn cancel_if_peer_ended(&mut self, cx: &mut Context<'_>) -> Option<Transition> {
        // What is read is answered, so a drain would not end while the peer goes on sending.
        let reads = !self.shard_is_full() && !self.shard.is_draining();
        let bytes_max = if reads { READ_AHEAD_BYTES_MAX } else { 0 };
        let end = match self.transport.as_mut().poll_peer_end(cx, bytes_max) {
            Poll::Ready(Ok(end)) => end,
            Poll::Ready(Err(error)) => {
                // The call is dropped before the connection counts as closed.
                *self.step = Step::OPEN;
                return Some(Transition::End((&LineError::from(error)).into()));
            }
            Poll::Pending => return None,
        };
        let mut grace = self.shard.config().half_close.load();
        let peer = match self.step {
            // A peer that only waits for its replies did nothing wrong by sending too fast.
            Step::Waiting(waiting) if waiting.throttled.is_some() => {
                grace = None;
                &mut waiting.peer
            }
            Step::Serving { call, .. } => &mut call.peer,
            Step::Waiting(waiting) => &mut waiting.peer,
            Step::Answering(answering) => &mut answering.peer,
            _ => return None,
        };
        match peer.poll_cancel(cx, end, grace) {
            Poll::Ready(()) => Some(self.go(Step::Closing(CloseReason::PeerEof))),
            Poll::Pending => None,
        }
    }
}
