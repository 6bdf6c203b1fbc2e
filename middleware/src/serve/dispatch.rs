//! The loop's steps from a line to its reply: read, call the service. Replies are written in
//! [`write`](super::write), and the ways to stop are in [`park`](super::park).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    connection::{Projection, Step, Transition},
    peer_end::{PeerWatch, PendingCall, WaitingBatch},
};
use crate::{
    Batch, BoxError, LineError, Transport,
    protocol::{Notice, Protocol},
    stats::CloseReason,
    thread_context::{READINESS, Readiness, TURN},
    transport::Phase,
};

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Service<Batch<P>, Response = Batch<P>, Error: Into<BoxError>, Future: Unpin>,
    P: Protocol,
{
    #[inline]
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let next = match self.step {
                Step::Open { flood_hint, .. } if !flood_hint.must_queue() => self.read(cx),
                _ => self.other_step(cx),
            };
            match next {
                Transition::Continue => {}
                Transition::Park(phase) => return self.park(cx, phase),
                Transition::Yield => return self.yield_thread(cx),
                Transition::End(reason) => return Poll::Ready(reason),
            }
        }
    }

    /// Any step but a read at once. Apart from that one, so that the code of a line is in one piece.
    #[inline(never)]
    fn other_step(&mut self, cx: &mut Context<'_>) -> Transition {
        match self.step {
            Step::Open { flood_hint, .. } => {
                flood_hint.take_must_queue();
                Transition::Yield
            }
            Step::Waiting(_) => self.wait(cx),
            Step::Serving { .. } => self.serve_on(cx),
            Step::Feeding(_) => self.feed(cx),
            Step::Flushing { .. } => self.flush(cx),
            Step::Expired(reason) => Transition::End(*reason),
            Step::Closing(_) | Step::Failed(_) => self.close(cx),
            Step::Lingering(_) => self.linger(cx),
        }
    }

    #[inline]
    fn read(&mut self, cx: &mut Context<'_>) -> Transition {
        let next = if self.shard.is_draining() {
            // One read may have brought several batches, and all of them are answered.
            Poll::Ready(self.transport.as_mut().next_buffered())
        } else {
            self.transport.as_mut().poll_batch(cx)
        };
        match next {
            Poll::Ready(Some(Ok(batch))) => self.call(cx, batch),
            Poll::Ready(Some(Err(error))) => self.fail_input(&error),
            Poll::Ready(None) => self.end_input(),
            Poll::Pending if self.transport.unsent_bytes() == 0 => self.wait_for_input(),
            Poll::Pending => self.flush_and_wait(cx),
        }
    }

    #[cold]
    fn fail_input(&mut self, error: &LineError) -> Transition {
        match *error {
            LineError::TooLong { limit_bytes } => {
                self.close_with(CloseReason::LineTooLong, &Notice::TooLong { limit_bytes })
            }
            LineError::Malformed(why) => {
                self.close_with(CloseReason::Malformed, &Notice::Malformed(why))
            }
            LineError::NotUtf8 => self.go(Step::Closing(CloseReason::InvalidUtf8)),
            LineError::Io(_) => Transition::End(error.into()),
        }
    }

    /// Closes after the server's own last words.
    fn close_with(&mut self, reason: CloseReason, notice: &Notice<'_>) -> Transition {
        match self.transport.as_mut().start_send(Batch::notice(notice, 1)) {
            Ok(()) => self.go(Step::Closing(reason)),
            Err(error) => Transition::End((&error).into()),
        }
    }

    #[cold]
    fn end_input(&mut self) -> Transition {
        if self.shard.is_draining() {
            return self.go(Step::Closing(CloseReason::Drain));
        }
        if self.transport.as_mut().park().read_bytes > 0 {
            self.shard.stats().unterminated_lines.add(1);
        }
        self.go(Step::Closing(CloseReason::PeerEof))
    }

    /// Before it parks, the connection writes its replies. If it cannot, reading goes on, and the peer's
    /// silence counts, as long as the output has room.
    #[inline(never)]
    fn flush_and_wait(&mut self, cx: &mut Context<'_>) -> Transition {
        match self.transport.as_mut().poll_flush(cx) {
            Poll::Ready(Err(error)) => Transition::End((&error).into()),
            Poll::Ready(Ok(())) => self.wait_for_input(),
            Poll::Pending if self.must_write_before_read() => self.wait_to_write(),
            Poll::Pending => Transition::Park(Phase::Reading),
        }
    }

    #[inline]
    fn wait_for_input(&mut self) -> Transition {
        if let Step::Open { unflushed, .. } = self.step {
            *unflushed = 0;
        }
        Transition::Park(Phase::Reading)
    }

    /// Polls for readiness with a batch to serve: an idle connection reserves nothing.
    #[inline]
    fn call(&mut self, cx: &mut Context<'_>, batch: Batch<P>) -> Transition {
        // A batch is bounded by the read block or by one line, both below 4 GiB.
        let in_hand = batch.as_bytes().len() as u32;
        if let Some(flood_hint) = self.step.flood_hint_mut() {
            flood_hint.record_batch(in_hand as usize);
        }
        TURN.with(|turn| {
            turn.begin_batch(in_hand as usize, batch.count(), || self.shard.stats().now());
        });
        match self.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.call_ready(cx, batch, in_hand),
            Poll::Ready(Err(error)) => self.fail(error.into()),
            Poll::Pending => {
                let peer = PeerWatch::default();
                *self.step = Step::Waiting(Box::new(WaitingBatch { batch, peer }));
                self.wait_serving(cx)
            }
        }
    }

    #[inline]
    fn call_ready(&mut self, cx: &mut Context<'_>, batch: Batch<P>, in_hand: u32) -> Transition {
        let mut call = self.service.call(batch);
        match poll_call(cx, &mut call) {
            Poll::Ready(reply) => {
                drop(call);
                self.answer(cx, reply)
            }
            Poll::Pending => {
                let call = PendingCall { future: call, peer: PeerWatch::default() };
                self.serve_later(cx, Box::new(call), in_hand)
            }
        }
    }

    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Transition {
        let Step::Waiting(waiting) = self.step else { return Transition::Continue };
        match self.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                let batch = std::mem::take(&mut waiting.batch);
                let in_hand = batch.as_bytes().len() as u32;
                *self.step = Step::OPEN;
                self.call_ready(cx, batch, in_hand)
            }
            Poll::Ready(Err(error)) => self.fail(error.into()),
            Poll::Pending => self.wait_serving(cx),
        }
    }

    /// Writes earlier replies, which do not wait for this one, and parks, unless the peer has ended.
    #[inline(never)]
    fn wait_serving(&mut self, cx: &mut Context<'_>) -> Transition {
        match self.transport.as_mut().poll_flush(cx) {
            Poll::Ready(Err(error)) => Transition::End((&error).into()),
            Poll::Ready(Ok(())) | Poll::Pending => {
                self.cancel_if_peer_ended(cx).unwrap_or(Transition::Park(Phase::Serving))
            }
        }
    }

    /// Most calls are done at once, and are then no step of their own: the straight path from the read to
    /// the write saves a percent of a line in ping-pong.
    #[inline]
    fn answer(&mut self, cx: &mut Context<'_>, reply: Result<Batch<P>, S::Error>) -> Transition {
        match reply {
            Ok(reply) => self.send(cx, reply),
            Err(error) => self.fail(error.into()),
        }
    }

    #[inline(never)]
    fn serve_later(
        &mut self,
        cx: &mut Context<'_>,
        call: Box<PendingCall<S::Future>>,
        in_hand: u32,
    ) -> Transition {
        let flood_hint = self.step.flood_hint();
        *self.step = Step::Serving { call, in_hand, flood_hint };
        self.wait_serving(cx)
    }

    #[inline(never)]
    fn serve_on(&mut self, cx: &mut Context<'_>) -> Transition {
        match std::mem::replace(self.step, Step::OPEN) {
            Step::Serving { mut call, in_hand, flood_hint } => {
                *self.step = Step::open(0, flood_hint);
                match poll_call(cx, &mut call.future) {
                    Poll::Ready(reply) => {
                        drop(call);
                        self.answer(cx, reply)
                    }
                    Poll::Pending => self.serve_later(cx, call, in_hand),
                }
            }
            other => self.go(other),
        }
    }

    /// Ends the connection because of the service. Yields first, so that the owner of the connection sees
    /// the error while the peer is still connected.
    #[cold]
    pub(super) fn fail(&mut self, error: BoxError) -> Transition {
        *self.step = Step::Failed(Box::new(error));
        Transition::Yield
    }

    #[inline]
    pub(super) fn go(&mut self, step: Step<P, S>) -> Transition {
        *self.step = step;
        Transition::Continue
    }
}

#[inline]
fn poll_call<F: Future + Unpin>(cx: &mut Context<'_>, call: &mut F) -> Poll<F::Output> {
    // A call that timed out while it waited for readiness left the flag set.
    READINESS.with(Readiness::take_awaited);
    Pin::new(call).poll(cx)
}
