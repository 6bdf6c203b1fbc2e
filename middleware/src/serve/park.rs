//! How a connection stops running: it parks, yields, or closes.

use std::{
    future::Future,
    task::{Context, Poll},
};

use tokio::time::sleep;

use super::{
    LINGER_BYTES,
    connection::{Linger, Projection, Queue, Step, Transition},
    respond::Respond,
};
use crate::{
    Transport,
    clock::Nanos,
    fairness::{self, Ticket},
    protocol::Protocol,
    push::Recipient,
    stats::{CloseReason, State},
    thread_context::{
        READINESS, Readiness, TURN,
        block_pool::{self, Batches},
    },
    transport::{Parked, Phase},
};

/// A connection that holds more input than this holds a block of the pool for it.
const HELD_BYTES_MIN: usize = block_pool::BLOCK_BYTES / 4;

/// Bytes that the connections of a shard hold when new blocks become small: 256 blocks.
const HELD_BYTES_MAX: usize = 256 * block_pool::BLOCK_BYTES;

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    #[cold]
    pub(super) fn close(&mut self, cx: &mut Context<'_>) -> Transition {
        let reason = match *self.step {
            Step::Closing(reason) => reason,
            Step::Failed(_) => CloseReason::ServiceError,
            _ => return Transition::Continue,
        };
        if reason == CloseReason::PeerEof {
            return self.close_after_peer(cx);
        }
        match self.poll_close(cx) {
            Poll::Ready(Ok(())) => self.begin_linger(reason),
            // The peer is gone already; the first reason says more.
            Poll::Ready(Err(_)) => Transition::End(reason),
            Poll::Pending => Transition::Park(Phase::Closing),
        }
    }

    /// The peer sends no more, so no input can cause a reset, and all that is left is our own close. It may
    /// take steps in a stream such as TLS, and then has as long as a peer has otherwise.
    #[cold]
    fn close_after_peer(&mut self, cx: &mut Context<'_>) -> Transition {
        match self.poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Transition::End((&error).into()),
            Poll::Pending => return Transition::Park(Phase::Closing),
        }
        match self.poll_close(cx) {
            // The peer has its replies: if it is gone now, it ended the connection all the same.
            Poll::Ready(_) => Transition::End(CloseReason::PeerEof),
            Poll::Pending => self.begin_linger(CloseReason::PeerEof),
        }
    }

    fn begin_linger(&mut self, reason: CloseReason) -> Transition {
        let timer = Box::pin(sleep(self.shard.config().linger.load()));
        self.service.close(reason);
        self.shard.linger(reason);
        let service_error = self.step.take_service_error();
        let (left_bytes, ticket) = (LINGER_BYTES, Ticket::NONE);
        let linger = Linger { reason, service_error, timer, left_bytes, ticket };
        self.go(Step::Lingering(Box::new(linger)))
    }

    #[cold]
    pub(super) fn linger(&mut self, cx: &mut Context<'_>) -> Transition {
        let Step::Lingering(linger) = self.step else { return Transition::Continue };
        let Linger { reason, timer, left_bytes, .. } = &mut **linger;
        if timer.as_mut().poll(cx).is_ready() {
            return Transition::End(*reason);
        }
        if *reason == CloseReason::PeerEof {
            return match self.transport.as_mut().poll_close(cx) {
                Poll::Ready(_) => Transition::End(*reason),
                Poll::Pending => Transition::Park(Phase::Closing),
            };
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
        let now = self.shard.stats().now();
        let long = TURN.with(|turn| turn.was_long(now));
        match self.step {
            // Always for input.
            Step::Open { flood_hint, .. } => flood_hint.park(long, true),
            _ => self.record_turn(long, phase),
        }
        if S::IS_SESSION
            && let Some(reason) = self.end_if_too_slow(cx)
        {
            return self.expire(cx, reason, now);
        }
        let mut buffered = self.transport.as_mut().park();
        // What is pushed lies elsewhere, but it is the peer's to take.
        let mail_bytes =
            if S::IS_SESSION && buffered.write_bytes > 0 { self.mail_bytes() } else { 0 };
        buffered.write_bytes += mail_bytes;
        let parked = Parked { now, phase, same_task: self.shard.is_registered(cx.waker()) };
        if let Poll::Ready(expired) = self.transport.as_mut().poll_expired(
            cx,
            parked,
            &mut self.shard.wake_entry(),
            &mut buffered,
        ) {
            return self.expire(cx, expired.into(), now);
        }
        if mail_bytes > 0 {
            buffered.write_bytes = self.transport.unsent_bytes();
        }
        if self.shard.wake_entry().register(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        if S::IS_SESSION && self.service.register_mail(cx) {
            cx.waker().wake_by_ref();
        }
        self.shard.set_buffered(buffered.read_bytes + self.step.in_hand(), buffered.write_bytes);
        self.bound_held_blocks(buffered.read_bytes);
        // A batch that waits for its peer to take replies is held by the peer as well.
        let in_hand = if phase == Phase::Blocked { self.step.in_hand() } else { 0 };
        if self.shard.hold(buffered.held_bytes(phase) + in_hand, cx.waker()) {
            return self.expire(cx, CloseReason::Overload, now);
        }
        if let Some(reason) = self.shard.close_at_once() {
            return self.expire(cx, self.step.closes_for().unwrap_or(reason), now);
        }
        let state = match phase {
            Phase::Closing => State::Closing,
            Phase::Serving if matches!(self.step, Step::Securing(_)) => State::Handshake,
            Phase::Serving if self.step.is_throttled() => State::LimitWait,
            Phase::Serving if READINESS.with(Readiness::take_awaited) => State::LimitWait,
            Phase::Serving if S::IS_SESSION && READINESS.with(Readiness::take_room_awaited) => {
                State::PushWait
            }
            Phase::Serving => State::Service,
            Phase::Blocked => State::WriteWait,
            Phase::Reading if buffered.write_bytes > 0 => State::WriteWait,
            Phase::Reading if buffered.read_bytes > 0 => State::ReadWait,
            Phase::Reading => State::Idle,
        };
        self.shard.park(state, parked.now);
        if S::IS_SESSION
            && matches!(state, State::Idle | State::ReadWait)
            && let Some(recipient) = self.service.recipient()
        {
            recipient.end_turn();
        }
        Poll::Pending
    }

    fn mail_bytes(&self) -> usize {
        self.service.recipient().map_or(0, Recipient::waiting_bytes)
    }

    /// Why the connection ends, if it takes too little of what is pushed to it.
    #[inline]
    fn end_if_too_slow(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        if !self.is_too_slow() {
            return None;
        }
        if let Some(reason) = self.step.closes_for() {
            return Some(reason);
        }
        self.say_too_slow(cx);
        Some(CloseReason::SlowConsumer)
    }

    /// Records in the step that the turn ends, and whether it took long.
    #[inline(never)]
    fn record_turn(&mut self, long: bool, phase: Phase) {
        if let Some(flood_hint) = self.step.flood_hint_mut() {
            flood_hint.park(long, phase == Phase::Reading);
        }
    }

    /// Parks the task until it may close for `reason`. What it buffers is free now, not when the close
    /// pacer gets to it.
    #[cold]
    fn expire(
        &mut self,
        cx: &mut Context<'_>,
        reason: CloseReason,
        now: Nanos,
    ) -> Poll<CloseReason> {
        *self.step = Step::Expired(reason);
        self.transport.as_mut().drop_buffers();
        self.shard.release_buffers();
        self.shard.park(State::Closing, now);
        fairness::enqueue_close(cx);
        Poll::Pending
    }

    /// Lets the other runnable connections, and the I/O driver, run first.
    pub(super) fn yield_thread(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let buffered = self.transport.as_mut().park();
        self.shard.set_buffered(buffered.read_bytes, buffered.write_bytes);
        self.bound_held_blocks(buffered.read_bytes);
        self.shard.yield_thread();
        self.enqueue_yield(cx);
        // The turn may be that of another task by then.
        self.shard.wake_entry().register(cx.waker());
        Poll::Pending
    }

    /// Enters the yield queue, and records the place in the step.
    pub(super) fn enqueue_yield(&mut self, cx: &mut Context<'_>) {
        let ticket = fairness::enqueue_yield(cx);
        if let Some(place) = self.step.ticket_mut() {
            *place = ticket;
        }
    }

    /// A connection whose turn ends within a block keeps the block until its next turn. While those of the
    /// shard keep many, new blocks are small.
    #[inline]
    fn bound_held_blocks(&self, read_bytes: usize) {
        if read_bytes > HELD_BYTES_MIN {
            self.use_small_blocks();
        }
    }

    #[cold]
    fn use_small_blocks(&self) {
        let stats = self.shard.stats().clone();
        if stats.buffered_bytes() >= HELD_BYTES_MAX {
            block_pool::use_small_blocks_while(Batches::Whole, move || {
                stats.buffered_bytes() >= HELD_BYTES_MAX
            });
        }
    }

    /// What the connection has to do with the yield queue, whichever step it is in.
    #[inline(never)]
    pub(super) fn queue(&mut self, cx: &Context<'_>) -> Queue {
        if let Some(ticket) = self.step.ticket_mut()
            && ticket.is_some()
        {
            if fairness::waits(*ticket) && self.shard.is_registered(cx.waker()) {
                return Queue::Wait;
            }
            *ticket = Ticket::NONE;
        }
        if self.step.flood_hint().must_queue() { Queue::Join } else { Queue::Skip }
    }

    /// Writes what the socket takes, and keeps the connection's place in the queue.
    #[cold]
    pub(super) fn flush_in_queue(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready((&error).into()),
            Poll::Ready(Ok(())) | Poll::Pending => {
                let buffered = self.transport.as_mut().park();
                self.shard.set_buffered(buffered.read_bytes, buffered.write_bytes);
                Poll::Pending
            }
        }
    }
}
