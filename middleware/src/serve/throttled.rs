//! The loop's step for a batch that waits for the rate of its peer's address.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

use tokio::{task::coop::unconstrained, time::sleep};

use super::{
    connection::{Projection, Step, Transition},
    peer_end::{PeerWatch, WaitingBatch},
    respond::Respond,
};
use crate::{Batch, Transport, protocol::Protocol};

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Serves a batch when its peer's address is within its rate.
    #[cold]
    pub(super) fn call_within_rate(
        &mut self,
        cx: &mut Context<'_>,
        batch: Batch<P>,
        in_hand: u32,
    ) -> Transition {
        let wait = self.shard.throttle(batch.count(), in_hand as usize);
        if wait.is_zero() {
            return self.make_ready(cx, batch, in_hand);
        }
        let (peer, throttled) = (PeerWatch::default(), Some(Box::pin(sleep(wait))));
        *self.step = Step::Waiting(Box::new(WaitingBatch { batch, peer, throttled }));
        self.wait(cx)
    }

    /// Ready when the batch that waits may be served, as far as its peer's address is concerned. What was read is
    /// answered, so a drain does not wait for that.
    pub(super) fn poll_throttled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Step::Waiting(waiting) = &mut *self.step else { return Poll::Ready(()) };
        let Some(timer) = &mut waiting.throttled else { return Poll::Ready(()) };
        let drains = self.shard.is_draining();
        if !drains && pin!(unconstrained(timer.as_mut())).poll(cx).is_pending() {
            return Poll::Pending;
        }
        // From now on it waits for the service, if for anything.
        (waiting.throttled, waiting.peer) = (None, PeerWatch::default());
        Poll::Ready(())
    }
}
