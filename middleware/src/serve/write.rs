//! How replies go out, and what keeps a connection from reading on meanwhile.

use std::task::{Context, Poll};

use tokio::task::coop;
use tower_service::Service;

use super::{
    FlushPolicy,
    connection::{Feed, Running, Step},
    dispatch::Next,
    park::reason,
};
use crate::{
    LineError, Lines, Wire, fairness::Appetite, pool, stats::CloseReason, transport::Phase,
};

impl<T, S> Running<'_, T, S>
where
    T: Wire,
    S: Service<Lines, Response = Lines, Future: Unpin>,
{
    /// Gives a reply to the sink.
    #[inline]
    pub(super) fn give(&mut self, cx: &mut Context<'_>, reply: Lines) -> Next {
        if let FlushPolicy::Every(every) = self.rules.flush.get() {
            let unflushed = self.unflushed();
            return self.go(Step::Feeding(Box::new(Feed { rest: reply, every, unflushed })));
        }
        match self.wire.as_mut().start_send(reply) {
            Ok(()) => self.flush(cx),
            Err(error) => self.refused(&error),
        }
    }

    /// The codec did not take a reply: the service's fault when it is no text, the stream's else.
    #[cold]
    fn refused(&mut self, error: &LineError) -> Next {
        match error {
            LineError::NotUtf8 => self.go(Step::Closing(CloseReason::ServiceError)),
            error => Next::End(reason(error)),
        }
    }

    /// Gives a reply to the sink piece by piece, with a write after each.
    #[inline(never)]
    pub(super) fn feed(&mut self, cx: &mut Context<'_>) -> Next {
        let Step::Feeding(feed) = &mut *self.step else { return Next::Go };
        let Feed { rest, every, unflushed } = &mut **feed;
        let lines = every.get();
        loop {
            if *unflushed >= lines {
                // A socket may take all of them, one by one, and hold the thread meanwhile.
                let Poll::Ready(turn) = coop::poll_proceed(cx) else {
                    return Next::Wait(Phase::Blocked);
                };
                match self.wire.as_mut().poll_flush(cx) {
                    Poll::Ready(Ok(())) => {
                        turn.made_progress();
                        *unflushed = 0;
                    }
                    Poll::Ready(Err(error)) => return Next::End(reason(&error)),
                    Poll::Pending => return Next::Wait(Phase::Blocked),
                }
            }
            if rest.is_empty() {
                break;
            }
            let piece = rest.split_to((lines - *unflushed) as usize);
            *unflushed += piece.count() as u32;
            if let Err(error) = self.wire.as_mut().start_send(piece) {
                return self.refused(&error);
            }
        }
        let unflushed = *unflushed;
        self.go(Step::Flushing { unflushed, appetite: Appetite::NONE })
    }

    /// Lines given to the sink since the last write.
    fn unflushed(&self) -> u32 {
        match &*self.step {
            Step::Open { unflushed, .. } | Step::Flushing { unflushed, .. } => *unflushed,
            _ => 0,
        }
    }

    /// Writes the replies of one batch. A peer that pipelines gets them in one write, because what
    /// one read gave is one batch. Under [`FlushPolicy::Every`] a few may wait for more lines, until
    /// the read side runs dry.
    #[inline]
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Next {
        if let Step::Flushing { appetite, .. } = self.step
            && appetite.take_place_in_line()
        {
            return Next::GiveWay;
        }
        let full_read = self.wire.as_mut().take_full_read();
        let auto = self.rules.flush.get() == FlushPolicy::Auto;
        let mut unflushed = self.unflushed();
        if auto || full_read || self.must_write_first() {
            match self.wire.as_mut().poll_flush(cx) {
                Poll::Ready(Ok(())) => unflushed = 0,
                Poll::Ready(Err(error)) => return Next::End(reason(&error)),
                // Reading goes on over a small rest; a large one is back-pressure.
                Poll::Pending if self.must_write_first() => return self.wait_to_write(),
                Poll::Pending => {}
            }
        }
        if let Step::Open { unflushed: known, .. } = self.step {
            *known = unflushed;
        } else {
            let appetite = self.step.known_appetite();
            *self.step = Step::Open { unflushed, appetite };
        }
        if full_read { Next::GiveWay } else { Next::Go }
    }

    /// Whether what is unsent keeps the connection from reading on: much of its own, or any of it
    /// while all connections together hold much.
    ///
    /// Asked before each read, because memory can be gone before anybody who looks at it now and
    /// then looks again.
    #[inline(never)]
    pub(super) fn must_write_first(&self) -> bool {
        let unsent_bytes = self.wire.unsent_bytes();
        unsent_bytes >= self.rules.output_bytes_max.get() || unsent_bytes > 0 && self.much_is_held()
    }

    /// Whether all connections together hold as much as may be read over.
    fn much_is_held(&self) -> bool {
        self.presence.held_by_all(self.wire.unsent_bytes()) >= self.rules.held_bytes_max.get()
    }

    /// Reads nothing until the socket takes more. That alone is waited for: what others hold cannot
    /// keep a connection whose replies were written.
    #[inline(never)]
    pub(super) fn wait_to_write(&mut self) -> Next {
        if self.much_is_held() {
            // Those who hold nothing yet may hold what they read once.
            pool::spare(self.presence.stats(), self.rules.held_bytes_max.get());
        }
        let unflushed = self.unflushed();
        let appetite = self.step.known_appetite();
        *self.step = Step::Flushing { unflushed, appetite };
        Next::Wait(Phase::Blocked)
    }
}
