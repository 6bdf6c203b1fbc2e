//! The loop's steps from a reply to the socket, and when unsent replies stop the reading.

use std::task::{Context, Poll};

use super::{
    WritePolicy,
    connection::{Feed, Projection, Step, Transition},
    respond::Respond,
};
use crate::{
    Batch, LineError, Transport,
    fairness::{self, Ticket},
    protocol::Protocol,
    thread_context::{
        TURN,
        block_pool::{self, Batches},
    },
    transport::Phase,
};

/// Writes of a turn where each line is written by itself. A write takes 2 to 5 µs, so they take as long as
/// the service of a full block, some 60 µs.
const WRITES_A_TURN: u32 = 16;

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Gives a reply to the sink.
    #[inline]
    pub(super) fn send(&mut self, cx: &mut Context<'_>, reply: Batch<P>) -> Transition {
        if let WritePolicy::Every(every) = self.shard.config().write_policy.load() {
            let (unflushed, flood_hint) = (self.unflushed(), self.step.flood_hint());
            return self.go(Step::Feeding(Box::new(Feed {
                rest: reply,
                every,
                unflushed,
                flood_hint,
                ticket: Ticket::NONE,
            })));
        }
        match self.transport.as_mut().start_send(reply) {
            Ok(()) => self.flush(cx),
            Err(error) => self.refused(&error),
        }
    }

    /// The codec refused a reply: an error of the service if the reply is not text, else of the stream.
    #[cold]
    pub(super) fn refused(&mut self, error: &LineError) -> Transition {
        match error {
            LineError::NotUtf8 => self.fail(LineError::NotUtf8.into()),
            error => Transition::End(error.into()),
        }
    }

    /// Gives a reply to the sink in pieces, with a write after each.
    #[inline(never)]
    pub(super) fn feed(&mut self, cx: &mut Context<'_>) -> Transition {
        if S::IS_SESSION && self.transport.is_inside_push() {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Transition::End((&error).into()),
                Poll::Pending => return Transition::Park(Phase::Blocked),
            }
        }
        let Step::Feeding(feed) = &mut *self.step else { return Transition::Continue };
        let Feed { rest, every, unflushed, flood_hint, .. } = &mut **feed;
        if flood_hint.take_must_queue() {
            return Transition::Yield;
        }
        let lines = every.get();
        let mut writes = 0;
        loop {
            if *unflushed >= lines {
                // A socket that accepts every piece must not hold the thread meanwhile.
                if writes == WRITES_A_TURN {
                    return Transition::Yield;
                }
                match self.transport.as_mut().poll_flush(cx) {
                    Poll::Ready(Ok(())) => {
                        *unflushed = 0;
                        writes += 1;
                        if writes == WRITES_A_TURN {
                            flood_hint.record_long_turn();
                        }
                    }
                    Poll::Ready(Err(error)) => return Transition::End((&error).into()),
                    Poll::Pending => return Transition::Park(Phase::Blocked),
                }
            }
            if rest.is_empty() {
                break;
            }
            let piece = rest.split_to((lines - *unflushed) as usize);
            *unflushed += piece.count() as u32;
            if let Err(error) = self.transport.as_mut().start_send(piece) {
                return self.refused(&error);
            }
        }
        let (unflushed, flood_hint) = (*unflushed, *flood_hint);
        self.go(Step::flushing(unflushed, flood_hint))
    }

    /// Lines given to the sink since the last write.
    fn unflushed(&self) -> u32 {
        match &*self.step {
            Step::Open { unflushed, .. } | Step::Flushing { unflushed, .. } => *unflushed,
            _ => 0,
        }
    }

    /// Writes the replies of one batch. A peer that pipelines gets them in one write, because what one read
    /// brought is one batch. Under [`WritePolicy::Every`] a few may wait for more lines, until no more input
    /// is there.
    #[inline]
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Transition {
        if let Step::Flushing { flood_hint, .. } = self.step
            && flood_hint.take_must_queue()
        {
            return Transition::Yield;
        }
        let full_read = self.transport.as_mut().take_full_read();
        let auto = self.shard.config().write_policy.load() == WritePolicy::Auto;
        let mut unflushed = self.unflushed();
        if auto || full_read || self.must_write_before_read() {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => unflushed = 0,
                Poll::Ready(Err(error)) => return Transition::End((&error).into()),
                // Reading goes on while little is unsent; much is back-pressure.
                Poll::Pending if self.must_write_before_read() => return self.wait_to_write(),
                Poll::Pending => {}
            }
        }
        if let Step::Open { unflushed: known, .. } = self.step {
            *known = unflushed;
        } else {
            *self.step = Step::open(unflushed, self.step.flood_hint());
        }
        // A peer that sends without end would otherwise never get what is pushed to it.
        if let Some(next) = self.push(cx) {
            return next;
        }
        if self.is_turn_over(full_read) { Transition::Yield } else { Transition::Continue }
    }

    /// Whether other connections run before this one reads on, or serves what it has read.
    #[inline]
    fn is_turn_over(&self, full_read: bool) -> bool {
        let clock = || self.shard.stats().now();
        if !full_read {
            return TURN.with(|turn| turn.is_over(clock));
        }
        let all_written = self.transport.unsent_bytes() == 0;
        !(all_written && fairness::has_queue() && TURN.with(|turn| turn.may_read_on(clock)))
    }

    /// Whether unsent replies stop the reading: many bytes of them, or any while all connections together
    /// buffer much.
    ///
    /// Checked before every read: a periodic check would come too late.
    #[inline(never)]
    pub(super) fn must_write_before_read(&self) -> bool {
        let unsent_bytes = self.transport.unsent_bytes();
        unsent_bytes >= self.shard.config().output_bytes_max.load()
            || unsent_bytes > 0 && self.shard_is_full()
    }

    /// Whether all connections together buffer so much that those with unsent replies stop reading.
    pub(super) fn shard_is_full(&self) -> bool {
        self.shard.buffered_by_all(self.transport.unsent_bytes())
            >= self.shard.config().buffered_bytes_max.load()
    }

    /// Waits until the socket accepts more, and reads nothing meanwhile. Waits for nothing else: what other
    /// connections buffer does not stop one whose replies were written.
    #[inline(never)]
    pub(super) fn wait_to_write(&mut self) -> Transition {
        if self.shard_is_full() {
            // A connection with nothing unsent may still read once, and then holds what it read.
            let stats = self.shard.stats().clone();
            let max = self.shard.config().buffered_bytes_max.load();
            block_pool::use_small_blocks_while(Batches::Small, move || {
                stats.buffered_bytes() >= max
            });
        }
        let unflushed = self.unflushed();
        let flood_hint = self.step.flood_hint();
        *self.step = Step::flushing(unflushed, flood_hint);
        Transition::Park(Phase::Blocked)
    }
}
