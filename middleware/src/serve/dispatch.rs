//! The loop's steps from a line to its reply: read, call the service. Replies are written in
//! [`write`](super::write), and the ways to stop are in [`park`](super::park).

use std::task::{Context, Poll};

use super::{
    connection::{Projection, Step, Transition},
    peer_end::{PeerWatch, PendingCall, WaitingBatch},
    respond::Respond,
};
use crate::{
    Batch, BoxError, LineError, Transport,
    protocol::{Notice, Protocol},
    response::IntoResponse,
    stats::CloseReason,
    thread_context::TURN,
    transport::Phase,
};

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
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
            Step::Answering(_) => self.answer_on(cx),
            Step::Detached(_) => self.serve_detached(cx),
            Step::Securing(_) => self.secure(cx),
            Step::Opening => {
                *self.step = Step::OPEN;
                self.call_hook(cx, S::open)
            }
            Step::Flushing { .. } => self.flush(cx),
            Step::Expired(reason) => Transition::End(*reason),
            Step::Closing(_) | Step::Failed(_) => self.close(cx),
            Step::Lingering(_) => self.linger(cx),
        }
    }

    #[inline]
    fn read(&mut self, cx: &mut Context<'_>) -> Transition {
        // Connections that were woken to close free memory when they run. Hundreds of others may run before them,
        // and each could add a reply that is much longer than its frame.
        if !S::Reply::PLAIN && self.shard.waits_for_memory() {
            return Transition::Yield;
        }
        self.set_frame_max();
        let next = if self.shard.is_draining() {
            // One read may have brought several batches, and all of them are answered.
            Poll::Ready(self.transport.as_mut().next_buffered())
        } else {
            self.transport.as_mut().poll_batch(cx)
        };
        match next {
            Poll::Ready(Some(Ok(batch))) => self.call(cx, batch),
            Poll::Ready(Some(Err(error))) => self.fail_input(&error),
            Poll::Ready(None) => self.end_input(cx),
            Poll::Pending if self.transport.is_quiet() => self.wait_for_input(cx),
            Poll::Pending => self.flush_and_wait(cx),
        }
    }

    /// Limits the frames that are not cut yet to what the session said.
    #[inline]
    pub(super) fn set_frame_max(&mut self) {
        if S::IS_SESSION
            && let Some(bytes) = self.service.take_frame_max()
        {
            self.transport.as_mut().set_frame_max(bytes);
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
            // What the server says in the clear is no TLS.
            LineError::ClientHello => self.go(Step::Closing(CloseReason::UnexpectedTls)),
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
    fn end_input(&mut self, cx: &mut Context<'_>) -> Transition {
        if self.shard.is_draining() {
            if S::IS_SESSION
                && let Some(next) = self.push_last(cx)
            {
                return next;
            }
            let reason = self.shard.finish_reason();
            *self.step = Step::Closing(reason);
            return self.call_hook(cx, |service| service.drain(reason));
        }
        if self.transport.as_mut().park().read_bytes > 0 {
            self.shard.stats().unterminated_lines.add(1);
        }
        self.go(Step::Closing(CloseReason::PeerEof))
    }

    /// Before it parks, the connection writes its replies. If it cannot, reading goes on, and the peer's
    /// silence counts, as long as the output has room. Within a long line the yield queue wakes it; it
    /// parks all the same, because its deadlines and the memory that it holds are checked then.
    #[inline(never)]
    fn flush_and_wait(&mut self, cx: &mut Context<'_>) -> Transition {
        let paused = self.transport.as_mut().take_paused();
        let next = match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => return Transition::End((&error).into()),
            Poll::Ready(Ok(())) => self.wait_for_input(cx),
            Poll::Pending if self.must_write_before_read() => return self.wait_to_write(),
            Poll::Pending => self.park_for_input(cx),
        };
        if paused && matches!(next, Transition::Park(Phase::Reading)) {
            self.enqueue_yield(cx);
        }
        next
    }

    #[inline]
    fn wait_for_input(&mut self, cx: &mut Context<'_>) -> Transition {
        if let Step::Open { unflushed, .. } = self.step {
            *unflushed = 0;
        }
        self.park_for_input(cx)
    }

    /// Parks until the peer sends more, or the session's timer has passed.
    #[inline]
    fn park_for_input(&mut self, cx: &mut Context<'_>) -> Transition {
        if S::IS_SESSION
            && let Poll::Ready(call) = self.service.poll_timer(cx)
        {
            return self.poll_first(cx, call, 0);
        }
        match self.push(cx) {
            Some(next) => next,
            None => Transition::Park(Phase::Reading),
        }
    }

    /// Polls for readiness with a batch to serve: an idle connection reserves nothing.
    #[inline]
    fn call(&mut self, cx: &mut Context<'_>, batch: Batch<P>) -> Transition {
        // A batch is bounded by the read block or by one line, both below 4 GiB.
        let in_hand = batch.as_bytes().len() as u32;
        if let Some(flood_hint) = self.step.flood_hint_mut() {
            flood_hint.record_batch(in_hand as usize);
        }
        self.shard.add_lines(batch.count());
        TURN.with(|turn| {
            turn.begin_batch(in_hand as usize, batch.count(), || self.shard.stats().now());
        });
        if self.shard.config().throttles.load() {
            return self.call_within_rate(cx, batch, in_hand);
        }
        self.make_ready(cx, batch, in_hand)
    }

    #[inline]
    pub(super) fn make_ready(
        &mut self,
        cx: &mut Context<'_>,
        batch: Batch<P>,
        in_hand: u32,
    ) -> Transition {
        match self.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => self.call_ready(cx, batch, in_hand),
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending => {
                let peer = PeerWatch::default();
                *self.step = Step::Waiting(Box::new(WaitingBatch { batch, peer, throttled: None }));
                self.wait_serving(cx)
            }
        }
    }

    #[inline]
    fn call_ready(&mut self, cx: &mut Context<'_>, batch: Batch<P>, in_hand: u32) -> Transition {
        let call = self.service.call(batch);
        self.poll_first(cx, call, in_hand)
    }

    /// Polls a call for the first time.
    #[inline]
    fn poll_first(&mut self, cx: &mut Context<'_>, mut call: S::Call, in_hand: u32) -> Transition {
        match self.service.poll_call(cx, &mut call) {
            Poll::Ready(reply) => self.answer(cx, reply, call, in_hand),
            Poll::Pending => {
                let call = PendingCall { future: call, peer: PeerWatch::default() };
                self.serve_later(cx, Box::new(call), in_hand)
            }
        }
    }

    /// Calls what a session does at the beginning or the end of its connection.
    #[cold]
    pub(super) fn call_hook(
        &mut self,
        cx: &mut Context<'_>,
        hook: impl FnOnce(&mut S) -> Option<S::Call>,
    ) -> Transition {
        match hook(self.service) {
            Some(call) => self.poll_first(cx, call, 0),
            None => Transition::Continue,
        }
    }

    #[inline(never)]
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Transition {
        if self.poll_throttled(cx).is_pending() {
            return self.wait_serving(cx);
        }
        let Step::Waiting(waiting) = self.step else { return Transition::Continue };
        match self.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                let batch = std::mem::take(&mut waiting.batch);
                let in_hand = batch.as_bytes().len() as u32;
                *self.step = Step::OPEN;
                self.call_ready(cx, batch, in_hand)
            }
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending => self.wait_serving(cx),
        }
    }

    /// Writes earlier replies, which do not wait for this one, and parks, unless the peer has ended.
    #[inline(never)]
    fn wait_serving(&mut self, cx: &mut Context<'_>) -> Transition {
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Transition::End((&error).into()),
            Poll::Ready(Ok(())) | Poll::Pending => match self.cancel_if_peer_ended(cx) {
                Some(ended) => ended,
                None if S::IS_SESSION && self.overlap() => Transition::Continue,
                None => self.push_while_serving(cx).unwrap_or(Transition::Park(Phase::Serving)),
            },
        }
    }

    /// Writes what was pushed while a call waits, if all that it has said so far ends with a reply.
    pub(super) fn push_while_serving(&mut self, cx: &mut Context<'_>) -> Option<Transition> {
        if !self.has_mail() {
            return None;
        }
        let may_push = match self.step {
            Step::Serving { call, .. } => self.service.is_between_replies(&call.future),
            Step::Answering(answering) => {
                answering.call().is_some_and(|call| self.service.is_between_replies(call))
            }
            _ => false,
        };
        if may_push { self.push(cx) } else { None }
    }

    /// Most calls are done at once, and are then no step of their own: the straight path from the read to
    /// the write saves a percent of a line in ping-pong.
    #[inline]
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        reply: Result<S::Reply, BoxError>,
        call: S::Call,
        in_hand: u32,
    ) -> Transition {
        match reply {
            Ok(reply) if S::Reply::PLAIN => {
                drop(call);
                self.send(cx, reply.into_parts().0)
            }
            Ok(reply) => self.answer_in_parts(cx, reply, call, in_hand),
            Err(error) => self.fail(error),
        }
    }

    #[inline(never)]
    fn serve_later(
        &mut self,
        cx: &mut Context<'_>,
        call: Box<PendingCall<S::Call>>,
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
                match self.service.poll_call(cx, &mut call.future) {
                    Poll::Ready(reply) => self.answer(cx, reply, call.future, in_hand),
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
