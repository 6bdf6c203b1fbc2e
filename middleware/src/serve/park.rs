//! How a connection stops running: for now, for the others, or for good.

use std::{
    future::Future,
    io,
    task::{Context, Poll},
};

use tokio::time::sleep;
use tower_service::Service;

use super::{
    LINGER_BYTES,
    connection::{Linger, Running, Step},
    dispatch::Next,
};
use crate::{
    LineError, Lines, Wire, fairness,
    ready_per_call::take_waits_for_readiness,
    stats::{CloseReason, State},
    transport::{Parked, Phase},
};

impl<T, S> Running<'_, T, S>
where
    T: Wire,
    S: Service<Lines, Response = Lines, Future: Unpin>,
{
    #[cold]
    pub(super) fn close(&mut self, cx: &mut Context<'_>) -> Next {
        let Step::Closing(why) = *self.step else { return Next::Go };
        if why == CloseReason::PeerEof {
            // Dropping the stream closes it; there is no more input that could cause a reset.
            return match self.wire.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => Next::End(why),
                Poll::Ready(Err(error)) => Next::End(reason(&error)),
                Poll::Pending => Next::Wait(Phase::Closing),
            };
        }
        match self.wire.as_mut().poll_close(cx) {
            Poll::Ready(Ok(())) => {
                let over = Box::pin(sleep(self.rules.linger.get()));
                self.presence.lingers(why);
                self.go(Step::Lingering(Box::new(Linger { why, over, left_bytes: LINGER_BYTES })))
            }
            // The peer is gone already; why we wanted to close is the better answer.
            Poll::Ready(Err(_)) => Next::End(why),
            Poll::Pending => Next::Wait(Phase::Closing),
        }
    }

    #[cold]
    pub(super) fn linger(&mut self, cx: &mut Context<'_>) -> Next {
        let Step::Lingering(linger) = self.step else { return Next::Go };
        let Linger { why, over, left_bytes } = &mut **linger;
        if over.as_mut().poll(cx).is_ready() {
            return Next::End(*why);
        }
        match self.wire.as_mut().poll_discard(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Next::End(*why),
            // A peer that goes on talking must not keep the others waiting, nor us at work.
            Poll::Ready(Ok(n)) if n < *left_bytes => {
                *left_bytes -= n;
                Next::GiveWay
            }
            Poll::Ready(Ok(_)) => Next::End(*why),
            Poll::Pending => Next::Wait(Phase::Closing),
        }
    }

    /// Before the task parks: blocks go back, the books are settled, deadlines and drain are
    /// registered for.
    pub(super) fn park(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<CloseReason> {
        if let Some(appetite) = self.step.appetite() {
            appetite.parks();
        }
        let mut holding = self.wire.as_mut().park();
        let parked = Parked {
            now: self.presence.stats().now(),
            phase,
            same_task: self.drain.knows(cx.waker()),
        };
        if let Poll::Ready(lapse) = self.wire.as_mut().poll_lapse(cx, parked, &mut holding) {
            *self.step = Step::Lapsed(lapse.reason());
            self.presence.hold(holding.read_bytes, holding.write_bytes);
            self.presence.park(State::Closing, parked.now);
            fairness::wait_to_leave(cx);
            return Poll::Pending;
        }
        if self.drain.register(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        self.presence.hold(holding.read_bytes + self.step.in_hand(), holding.write_bytes);
        let state = match phase {
            Phase::Closing => State::Closing,
            Phase::Serving if take_waits_for_readiness() => State::LimitWait,
            Phase::Serving => State::Service,
            Phase::Blocked => State::WriteWait,
            Phase::Reading if holding.write_bytes > 0 => State::WriteWait,
            Phase::Reading if holding.read_bytes > 0 => State::ReadWait,
            Phase::Reading => State::Idle,
        };
        self.presence.park(state, parked.now);
        Poll::Pending
    }

    /// Lets every other runnable connection, and the I/O driver, go first.
    pub(super) fn give_way(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let holding = self.wire.as_mut().park();
        self.presence.hold(holding.read_bytes, holding.write_bytes);
        self.presence.give_way();
        fairness::give_way(cx);
        Poll::Pending
    }
}

/// What a failed stream is called in the books.
#[cold]
pub(super) fn reason(error: &LineError) -> CloseReason {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable,
        NotConnected, TimedOut, UnexpectedEof, WriteZero,
    };
    match error {
        LineError::TooLong { .. } => CloseReason::LineTooLong,
        LineError::NotUtf8 => CloseReason::InvalidUtf8,
        LineError::Io(error) => match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
            | WriteZero => CloseReason::PeerReset,
            // The kernel gave the peer up: it acknowledged nothing for `socket.user_timeout`, or
            // answered no keep-alive, or a router said that there is no way to it.
            TimedOut | HostUnreachable | NetworkUnreachable => CloseReason::PeerReset,
            _ => CloseReason::IoError,
        },
    }
}
