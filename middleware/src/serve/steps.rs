//! What a connection does while its task runs, a step a function.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{task::coop, time::sleep};
use tower_service::Service;

use super::{
    FlushPolicy, LINGER_BYTES,
    exchange::{Feed, Linger, Running, Step},
};
use crate::{
    LineError, Lines, Wire, pool,
    ready_in_call::take_waits_for_readiness,
    stats::{CloseReason, State},
    turns::{self, Appetite},
    wire::{Parked, Phase},
};

const LINE_TOO_LONG: &[u8] = b"ERR line too long\n";

/// What a step leads to.
pub(super) enum Next {
    /// The step that is now set.
    Go,
    /// Nothing until something happens.
    Wait(Phase),
    /// The others, then on.
    GiveWay,
    /// Nothing any more.
    End(CloseReason),
}

impl<T, S> Running<'_, T, S>
where
    T: Wire,
    S: Service<Lines, Response = Lines>,
{
    #[inline]
    pub(super) fn run(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            let next = match self.step {
                Step::Open { .. } => self.read(cx),
                Step::Waiting(_) => self.wait(cx),
                Step::Serving { .. } => self.serve_on(cx),
                Step::Feeding(_) => self.feed(cx),
                Step::Flushing { .. } => self.flush(cx),
                Step::Lapsed(why) => Next::End(*why),
                Step::Closing(_) => self.close(cx),
                Step::Lingering(_) => self.linger(cx),
            };
            match next {
                Next::Go => {}
                Next::Wait(phase) => return self.park(cx, phase),
                Next::GiveWay => return self.give_way(cx),
                Next::End(reason) => return Poll::Ready(reason),
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Next {
        let next = if self.drain.is_draining() {
            // One read may have given several batches. All of it was taken.
            match self.wire.as_mut().next_of_read() {
                Some(lines) => Poll::Ready(Some(lines)),
                None => return self.go(Step::Closing(CloseReason::Drain)),
            }
        } else if let Step::Open { appetite, .. } = &mut *self.step
            && appetite.take_place_in_line()
        {
            return Next::GiveWay;
        } else {
            self.wire.as_mut().poll_next(cx)
        };
        match next {
            Poll::Ready(Some(Ok(lines))) => self.call(cx, lines),
            Poll::Ready(Some(Err(LineError::TooLong { .. }))) => {
                match self.wire.as_mut().start_send(Lines::repeat(LINE_TOO_LONG, 1)) {
                    Ok(()) => self.go(Step::Closing(CloseReason::LineTooLong)),
                    Err(error) => Next::End(reason(&error)),
                }
            }
            Poll::Ready(Some(Err(LineError::NotUtf8))) => {
                self.go(Step::Closing(CloseReason::InvalidUtf8))
            }
            Poll::Ready(Some(Err(error))) => Next::End(reason(&error)),
            Poll::Ready(None) => {
                if self.wire.as_mut().park().read_bytes > 0 {
                    self.presence.stats().unterminated_lines.add(1);
                }
                self.go(Step::Closing(CloseReason::PeerEof))
            }
            // On the way to park: what was earned goes out first. Where it cannot, reading goes on
            // and the peer's silence counts, as long as the output has room.
            Poll::Pending => match self.wire.as_mut().poll_flush(cx) {
                Poll::Ready(Err(error)) => Next::End(reason(&error)),
                Poll::Ready(Ok(())) => {
                    if let Step::Open { unflushed, .. } = self.step {
                        *unflushed = 0;
                    }
                    Next::Wait(Phase::Reading)
                }
                Poll::Pending if self.must_write_first() => self.wait_to_write(),
                Poll::Pending => Next::Wait(Phase::Reading),
            },
        }
    }

    /// Readiness second, with the lines in hand: an idle connection reserves nothing.
    #[inline]
    fn call(&mut self, cx: &mut Context<'_>, lines: Lines) -> Next {
        // A batch is bounded by the read block or by one line, both below 4 GiB.
        let in_hand = lines.as_bytes().len() as u32;
        if let Some(appetite) = self.step.appetite() {
            appetite.sent(in_hand as usize);
        }
        match self.service.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                let call = Box::pin(self.service.call(lines));
                self.serve(cx, call, in_hand)
            }
            Poll::Ready(Err(_)) => self.go(Step::Closing(CloseReason::ServiceError)),
            Poll::Pending => {
                *self.step = Step::Waiting(Box::new(lines));
                self.wait_serving(cx)
            }
        }
    }

    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Next {
        let Step::Waiting(lines) = self.step else { return Next::Go };
        let lines = std::mem::take(&mut **lines);
        self.call(cx, lines)
    }

    /// Earlier replies do not wait for this one.
    #[inline(never)]
    fn wait_serving(&mut self, cx: &mut Context<'_>) -> Next {
        match self.wire.as_mut().poll_flush(cx) {
            Poll::Ready(Err(error)) => Next::End(reason(&error)),
            Poll::Ready(Ok(())) | Poll::Pending => Next::Wait(Phase::Serving),
        }
    }

    /// Most calls are done at once, and are then no step: from the read to the write the path is
    /// straight, which is worth a percent of a line in ping-pong.
    #[inline]
    fn serve(&mut self, cx: &mut Context<'_>, mut call: Pin<Box<S::Future>>, in_hand: u32) -> Next {
        // A call that timed out while it waited for readiness left its mark behind.
        take_waits_for_readiness();
        match call.as_mut().poll(cx) {
            Poll::Ready(Ok(reply)) => {
                drop(call);
                self.give(cx, reply)
            }
            Poll::Ready(Err(_)) => self.go(Step::Closing(CloseReason::ServiceError)),
            Poll::Pending => {
                let appetite = self.step.appetite().map_or(Appetite::NONE, |appetite| *appetite);
                *self.step = Step::Serving { call, in_hand, appetite };
                self.wait_serving(cx)
            }
        }
    }

    #[inline(never)]
    fn serve_on(&mut self, cx: &mut Context<'_>) -> Next {
        match std::mem::replace(self.step, Step::OPEN) {
            Step::Serving { call, in_hand, appetite } => {
                *self.step = Step::Open { unflushed: 0, appetite };
                self.serve(cx, call, in_hand)
            }
            other => self.go(other),
        }
    }

    /// Gives a reply to the sink.
    #[inline]
    fn give(&mut self, cx: &mut Context<'_>, reply: Lines) -> Next {
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
    fn feed(&mut self, cx: &mut Context<'_>) -> Next {
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
    fn flush(&mut self, cx: &mut Context<'_>) -> Next {
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
            let appetite = self.step.appetite().map_or(Appetite::NONE, |one| *one);
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
    fn must_write_first(&self) -> bool {
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
    fn wait_to_write(&mut self) -> Next {
        if self.much_is_held() {
            // Those who hold nothing yet may hold what they read once.
            pool::spare(self.presence.stats(), self.rules.held_bytes_max.get());
        }
        let unflushed = self.unflushed();
        let appetite = self.step.appetite().map_or(Appetite::NONE, |one| *one);
        *self.step = Step::Flushing { unflushed, appetite };
        Next::Wait(Phase::Blocked)
    }

    #[cold]
    fn close(&mut self, cx: &mut Context<'_>) -> Next {
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
    fn linger(&mut self, cx: &mut Context<'_>) -> Next {
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

    #[inline]
    fn go(&mut self, step: Step<S>) -> Next {
        *self.step = step;
        Next::Go
    }

    /// Before the task parks: blocks go back, the books are settled, deadlines and drain are
    /// registered for.
    fn park(&mut self, cx: &mut Context<'_>, phase: Phase) -> Poll<CloseReason> {
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
            // Deadlines pass for many at once, and to close a connection with all that it holds
            // takes the kernel as long as many a line.
            *self.step = Step::Lapsed(lapse.reason());
            return self.give_way(cx);
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
    fn give_way(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let holding = self.wire.as_mut().park();
        self.presence.hold(holding.read_bytes, holding.write_bytes);
        self.presence.give_way();
        turns::give_way(cx);
        Poll::Pending
    }
}

/// What a failed stream is called in the books.
#[cold]
fn reason(error: &LineError) -> CloseReason {
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
