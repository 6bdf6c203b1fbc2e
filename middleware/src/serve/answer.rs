//! The loop's steps for a reply that is more than bytes: it comes in parts, or the connection ends behind it.

use std::task::{Context, Poll};

use super::{
    connection::{Projection, Step, Transition},
    peer_end::{PeerWatch, PendingCall},
    respond::Respond,
    rest::LimitedRest,
};
use crate::{
    Batch, Transport,
    fairness::{FloodHint, Ticket},
    protocol::Protocol,
    response::{Closes, IntoResponse, ReplyParts, sealed::Then},
    stats::CloseReason,
    thread_context::TURN,
    transport::Phase,
};

/// Parts of a turn. They may be empty, and then take no time that would end it.
const PARTS_A_TURN: u32 = 64;

/// A reply that comes in parts.
pub(super) struct Answering<C> {
    source: Source<C>,
    pub(super) peer: PeerWatch,
    /// Bytes of the batch that is answered.
    pub(super) in_hand: u32,
    pub(super) flood_hint: FloodHint,
    pub(super) ticket: Ticket,
}

/// Where the parts come from.
enum Source<C> {
    /// The call that gave the first one.
    Call(C),
    Parts(ReplyParts),
    Rest(LimitedRest),
}

impl<C> Answering<C> {
    /// The call, if the parts come from it.
    pub(super) const fn call(&self) -> Option<&C> {
        match &self.source {
            Source::Call(call) => Some(call),
            Source::Parts(_) | Source::Rest(_) => None,
        }
    }
}

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Gives the first part of a reply to the sink, and remembers what comes after it.
    #[inline(never)]
    pub(super) fn answer_in_parts(
        &mut self,
        cx: &mut Context<'_>,
        reply: S::Reply,
        call: S::Call,
        in_hand: u32,
    ) -> Transition {
        let (batch, then) = reply.into_parts();
        let source = match then {
            Then::Call => Source::Call(call),
            // The call is done, and its permit is free before the peer has the reply.
            Then::Next => {
                drop(call);
                return self.send(cx, batch);
            }
            Then::Close(reason) => {
                drop(call);
                return self.send_last(batch, reason);
            }
            Then::Reframe { rest, raw } => {
                drop(call);
                self.transport.as_mut().reframe(&rest, raw);
                return self.send(cx, batch);
            }
            Then::Detach { rest, detach } => {
                drop(call);
                return self.detach(batch, &rest, detach);
            }
            Then::Secure { tls, sent_ahead } => {
                drop(call);
                return self.start_tls(batch, tls, sent_ahead);
            }
            Then::Parts(parts) => Source::Parts(parts),
            Then::Rest(rest) => Source::Rest(LimitedRest::Free(rest)),
        };
        if let Err(error) = self.transport.as_mut().start_send(batch) {
            return self.refused(&error);
        }
        *self.step = Step::Answering(Box::new(Answering {
            source,
            peer: PeerWatch::default(),
            in_hand,
            flood_hint: self.step.flood_hint(),
            ticket: Ticket::NONE,
        }));
        Transition::Continue
    }

    /// Asks for parts while the output has room for them.
    #[inline(never)]
    pub(super) fn answer_on(&mut self, cx: &mut Context<'_>) -> Transition {
        let mut parts = 0;
        loop {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Transition::End((&error).into()),
                Poll::Pending if self.must_write_before_read() => return self.block(cx),
                Poll::Pending => {}
            }
            let Step::Answering(answering) = &mut *self.step else { return Transition::Continue };
            if answering.flood_hint.take_must_queue() {
                return Transition::Yield;
            }
            let next = match &mut answering.source {
                Source::Call(call) => {
                    let reply = self.service.poll_call(cx, call);
                    if S::IS_SESSION
                        && let Some(overlapped) = self.service.overlapped(call)
                    {
                        answering.in_hand = overlapped.held_bytes.try_into().unwrap_or(u32::MAX);
                    }
                    reply.map_ok(IntoResponse::into_parts)
                }
                Source::Parts(parts) => parts.as_mut().poll_next(cx).map(|part| match part {
                    Some(Ok(bytes)) => Ok((Batch::reply(bytes, 1), Then::Call)),
                    Some(Err(error)) => Err(error),
                    None => Ok((Batch::default(), Then::Next)),
                }),
                Source::Rest(rest) => rest.poll_part(cx, self.shard),
            };
            let (batch, then) = match next {
                Poll::Ready(Ok(part)) => part,
                Poll::Ready(Err(error)) if error.is::<Closes>() => {
                    return self.send_last(Batch::default(), CloseReason::ServiceClose);
                }
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {
                    if let Some(ended) = self.cancel_if_peer_ended(cx) {
                        return ended;
                    }
                    if !S::IS_SESSION || !self.serve_beside() {
                        return self
                            .push_while_serving(cx)
                            .unwrap_or(Transition::Park(Phase::Serving));
                    }
                    parts += 1;
                    if let Some(yielded) = self.end_turn(cx, parts) {
                        return yielded;
                    }
                    continue;
                }
            };
            match then {
                Then::Call => {}
                Then::Parts(parts) => answering.source = Source::Parts(parts),
                Then::Rest(rest) => answering.source = Source::Rest(LimitedRest::Free(rest)),
                Then::Close(reason) => return self.send_last(batch, reason),
                Then::Detach { rest, detach } => return self.detach(batch, &rest, detach),
                Then::Secure { tls, sent_ahead } => return self.start_tls(batch, tls, sent_ahead),
                next @ (Then::Next | Then::Reframe { .. }) => {
                    *self.step = Step::open(0, answering.flood_hint);
                    if let Then::Reframe { rest, raw } = next {
                        self.transport.as_mut().reframe(&rest, raw);
                    }
                    return self.send(cx, batch);
                }
            }
            let clock = || self.shard.stats().now();
            TURN.with(|turn| turn.begin_batch(batch.as_bytes().len(), 1, clock));
            if let Err(error) = self.transport.as_mut().start_send(batch) {
                return self.refused(&error);
            }
            parts += 1;
            if let Some(yielded) = self.end_turn(cx, parts) {
                return yielded;
            }
        }
    }

    /// Parks until the peer takes replies. What the call waits for goes on meanwhile, or it would keep its
    /// permit for as long as the peer likes.
    #[cold]
    fn block(&mut self, cx: &mut Context<'_>) -> Transition {
        if let Step::Answering(answering) = &mut *self.step {
            match &mut answering.source {
                Source::Call(call) => self.service.poll_blocked(cx, call),
                Source::Rest(rest) => rest.poll_blocked(cx),
                // A stream holds no permit of the server's.
                Source::Parts(_) => {}
            }
        }
        Transition::Park(Phase::Blocked)
    }

    /// Yields if the turn is over.
    fn end_turn(&mut self, cx: &mut Context<'_>, parts: u32) -> Option<Transition> {
        let clock = || self.shard.stats().now();
        if parts < PARTS_A_TURN && !TURN.with(|turn| turn.is_over(clock)) {
            return None;
        }
        // When unsent replies fill the shard, the connection parks, because only parked connections can be evicted:
        // in the yield queue a thousand of them could hold a part each.
        if self.must_write_before_read()
            && let Poll::Pending = self.poll_flush(cx)
        {
            return Some(self.block(cx));
        }
        // A reply that never waits would otherwise not see that its peer is gone.
        if let Some(ended) = self.cancel_if_peer_ended(cx) {
            return Some(ended);
        }
        if let Some(flood_hint) = self.step.flood_hint_mut() {
            flood_hint.record_long_turn();
        }
        Some(Transition::Yield)
    }

    /// Moves a call that waits to the step in which it is given further batches, if it takes any. Returns whether
    /// it does.
    #[inline(never)]
    pub(super) fn overlap(&mut self) -> bool {
        match std::mem::replace(self.step, Step::OPEN) {
            Step::Serving { call, in_hand, flood_hint }
                if self.service.overlapped(&call.future).is_some() =>
            {
                let PendingCall { future, peer } = *call;
                let (source, ticket) = (Source::Call(future), Ticket::NONE);
                let answering = Answering { source, peer, in_hand, flood_hint, ticket };
                *self.step = Step::Answering(Box::new(answering));
                true
            }
            step => {
                *self.step = step;
                false
            }
        }
    }

    /// Gives the call that waits the next batch of the input that was read ahead, if it takes one. Returns whether
    /// it did.
    ///
    /// A malformed frame stays in the input: it is found again, and ends the connection, when the replies that
    /// wait are written.
    fn serve_beside(&mut self) -> bool {
        let Step::Answering(answering) = &mut *self.step else { return false };
        let Answering { source: Source::Call(call), in_hand, flood_hint, .. } = &mut **answering
        else {
            return false;
        };
        let takes_batch = self.service.overlapped(call).is_some_and(|call| call.takes_batch);
        if !takes_batch {
            return false;
        }
        if let Some(bytes) = self.service.take_frame_max() {
            self.transport.as_mut().set_frame_max(bytes);
        }
        let Some(Ok(batch)) = self.transport.as_mut().next_buffered() else { return false };
        let bytes = batch.as_bytes().len();
        *in_hand = in_hand.saturating_add(bytes as u32);
        flood_hint.record_batch(bytes);
        let clock = || self.shard.stats().now();
        TURN.with(|turn| turn.begin_batch(bytes, batch.count(), clock));
        self.shard.add_lines(batch.count());
        self.service.extend(call, batch);
        true
    }

    /// Gives the last reply of the connection to the sink. What was read behind its batch is not served.
    fn send_last(&mut self, batch: Batch<P>, reason: CloseReason) -> Transition {
        match self.transport.as_mut().start_send(batch) {
            Ok(()) => self.go(Step::Closing(reason)),
            Err(error) => self.refused(&error),
        }
    }
}
