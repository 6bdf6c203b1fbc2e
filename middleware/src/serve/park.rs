//! How a connection stops running: it parks, yields, or closes.

use std::{
    future::Future,
    task::{Context, Poll},
};

use tokio::time::sleep;
use tower_service::Service;

use super::{
    LINGER_BYTES,
    connection::{Linger, Projection, Step, Transition},
};
use crate::{
    BoxError, Lines, Transport, fairness,
    stats::{CloseReason, State},
    thread_context::{READINESS, Readiness},
    transport::{Parked, Phase},
};

impl<T, S> Projection<'_, T, S>
where
    T: Transport,
    S: Service<Lines, Response = Lines, Error: Into<BoxError>, Future: Unpin>,
{
    #[cold]
    pub(super) fn close(&mut self, cx: &mut Context<'_>) -> Transition {
        let reason = match *self.step {
            Step::Closing(reason) => reason,
            Step::Failed(_) => CloseReason::ServiceError,
            _ => return Transition::Continue,
        };
        if reason == CloseReason::PeerEof {
            // Dropping the stream closes it; no more input can cause a reset.
            return match self.transport.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => Transition::End(reason),
                Poll::Ready(Err(error)) => Transition::End((&error).into()),
                Poll::Pending => Transition::Park(Phase::Closing),
            };
        }
        match self.transport.as_mut().poll_close(cx) {
            Poll::Ready(Ok(())) => {
                let timer = Box::pin(sleep(self.shard.config().linger.load()));
                self.shard.linger(reason);
                let service_error = self.take_service_error();
                self.go(Step::Lingering(Box::new(Linger {
                    reason,
                    service_error,
                    timer,
                    left_bytes: LINGER_BYTES,
                })))
            }
            // The peer is gone already; the first reason says more.
            Poll::Ready(Err(_)) => Transition::End(reason),
            Poll::Pending => Transition::Park(Phase::Closing),
        }
    }

    #[cold]
    pub(super) fn linger(&mut self, cx: &mut Context<'_>) -> Transition {
        let Step::Lingering(linger) = self.step else { return Transition::Continue };
        let Linger { reason, timer, left_bytes, .. } = &mut **linger;
        if timer.as_mut().poll(cx).is_ready() {
            return Transition::End(*reason);
        }
        match self.transport.as_mut().poll_discard(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Transition::End(*reason),
            // A peer that keeps sending must not keep other connections waiting.
            Poll::Ready(Ok(n)) if n < *left_bytes => {
                *left_bytes -= n;
                Transition::Yield
            }
            Poll::Ready(Ok(_)) => Transition::End(*reason),
            Poll::Pending => Transition::Park(Phase::Closing),
        }
    }

    /// Parks the task: puts blocks back, updates the metrics, checks deadlines, and registers for the next
    /// deadline and the drain.
    pub(super) fn park(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<CloseReason> {
        if let Some(flood_hint) = self.step.flood_hint_mut() {
            flood_hint.park();
        }
        let mut buffered = self.transport.as_mut().park();
        let parked = Parked {
            now: self.shard.stats().now(),
            phase,
            same_task: self.shard.is_registered(cx.waker()),
        };
        if let Poll::Ready(expired) = self.transport.as_mut().poll_expired(
            cx,
            parked,
            &mut self.shard.wake_entry(),
            &mut buffered,
        ) {
            *self.step = Step::Expired(expired.into());
            self.shard.set_buffered(buffered.read_bytes, buffered.write_bytes);
            self.shard.park(State::Closing, parked.now);
            fairness::enqueue_close(cx);
            return Poll::Pending;
        }
        if self.shard.wake_entry().register(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        self.shard.set_buffered(buffered.read_bytes + self.step.in_hand(), buffered.write_bytes);
        let state = match phase {
            Phase::Closing => State::Closing,
            Phase::Serving if READINESS.with(Readiness::take_awaited) => State::LimitWait,
            Phase::Serving => State::Service,
            Phase::Blocked => State::WriteWait,
            Phase::Reading if buffered.write_bytes > 0 => State::WriteWait,
            Phase::Reading if buffered.read_bytes > 0 => State::ReadWait,
            Phase::Reading => State::Idle,
        };
        self.shard.park(state, parked.now);
        Poll::Pending
    }

    /// Lets the other runnable connections, and the I/O driver, run first.
    pub(super) fn yield_thread(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let buffered = self.transport.as_mut().park();
        self.shard.set_buffered(buffered.read_bytes, buffered.write_bytes);
        self.shard.yield_thread();
        fairness::enqueue_yield(cx);
        Poll::Pending
    }
}
