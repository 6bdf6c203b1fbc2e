//! The loop's step for a connection that is served as a byte stream.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};

use super::{
    connection::{Projection, Step, Transition},
    respond::Respond,
};
use crate::{
    Batch, LineError, Transport,
    fairness::Ticket,
    protocol::Protocol,
    session::{Bridge, Detach, DetachedFuture},
    stats::CloseReason,
    transport::Phase,
};

/// Times in a turn that bytes go one way or the other: a megabyte or so.
const MOVES_A_TURN: u32 = 16;

/// A byte stream, and the future that serves it.
pub(super) struct DetachedStream {
    /// `None` when it is done.
    future: Option<DetachedFuture>,
    bridge: Arc<Bridge>,
    /// Taken from the stream, and not written.
    output: BytesMut,
    is_shut_down: bool,
    /// Why the input failed.
    failed: Option<CloseReason>,
    pub(super) ticket: Ticket,
}

impl DetachedStream {
    /// Bytes that are held for the peer, and for the future.
    pub(super) fn held_bytes(&self) -> usize {
        self.output.len() + self.bridge.held_bytes()
    }
}

impl Drop for DetachedStream {
    // The stream may be that of another task by now, which would wait for ever.
    fn drop(&mut self) {
        self.bridge.abandon();
    }
}

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Sends what was said, and has the connection served as a byte stream behind it.
    #[cold]
    pub(super) fn detach(&mut self, said: Batch<P>, rest: &[u8], detach: Detach) -> Transition {
        if let Err(error) = self.transport.as_mut().start_send(said) {
            return self.refused(&error);
        }
        self.transport.as_mut().reframe(rest, true);
        let (future, bridge) = detach.begin();
        *self.step = Step::Detached(Box::new(DetachedStream {
            future: Some(future),
            bridge,
            output: BytesMut::new(),
            is_shut_down: false,
            failed: None,
            ticket: Ticket::NONE,
        }));
        Transition::Continue
    }

    /// Moves bytes between the peer and the future that serves it, until none can be moved.
    #[inline(never)]
    pub(super) fn serve_detached(&mut self, cx: &mut Context<'_>) -> Transition {
        if let Step::Detached(detached) = &*self.step {
            detached.bridge.register(cx);
            if self.shard.is_draining() {
                detached.bridge.begin_drain(cx);
            }
        }
        for _ in 0..MOVES_A_TURN {
            match self.move_once(cx) {
                Ok(true) => {}
                Ok(false) => {
                    let unsent = self.transport.unsent_bytes() > 0;
                    return Transition::Park(if unsent { Phase::Blocked } else { Phase::Serving });
                }
                Err(end) => return end,
            }
        }
        Transition::Yield
    }

    /// Moves what can be moved, and polls the future. Returns whether anything was done, or how the connection goes
    /// on if it is no byte stream any more.
    fn move_once(&mut self, cx: &mut Context<'_>) -> Result<bool, Transition> {
        // What was said before comes first.
        match self.transport.as_mut().poll_flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(self.fail_stream(cx, &error)),
            Poll::Pending => return Ok(false),
        }
        let mut moved = self.move_input(cx);
        let Step::Detached(detached) = &mut *self.step else { return Err(Transition::Continue) };
        let DetachedStream { future, bridge, output, is_shut_down, failed, .. } = &mut **detached;
        if let Some(serving) = future
            && serving.as_mut().poll(cx).is_ready()
        {
            (*future, moved) = (None, true);
        }
        if output.is_empty() {
            *output = bridge.take_output();
        }
        while !output.is_empty() {
            match self.transport.as_mut().poll_push(cx, output) {
                Poll::Ready(Ok(n)) => {
                    output.advance(n);
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(self.fail_stream(cx, &error)),
                Poll::Pending => return Ok(moved),
            }
        }
        *output = BytesMut::new();
        bridge.sent(cx);
        if future.is_none() {
            return Err(match *failed {
                Some(reason) => Transition::End(reason),
                None => self.go(Step::Closing(CloseReason::ServiceClose)),
            });
        }
        if bridge.is_shut_down() && !*is_shut_down {
            // A failure is met again by the next read.
            *is_shut_down = self.transport.as_mut().poll_close(cx).is_ready();
        }
        Ok(moved)
    }

    /// Reads what comes next, if the future has taken what came before. Returns whether something came.
    fn move_input(&mut self, cx: &mut Context<'_>) -> bool {
        let Step::Detached(detached) = &mut *self.step else { return false };
        if !detached.bridge.takes_input() {
            return false;
        }
        match self.transport.as_mut().poll_batch(cx) {
            Poll::Ready(Some(Ok(bytes))) => detached.bridge.put_input(cx, bytes.into_bytes()),
            Poll::Ready(None) => detached.bridge.end_input(cx, None),
            Poll::Ready(Some(Err(error))) => {
                detached.failed = Some((&error).into());
                detached.bridge.end_input(cx, Some(kind_of(&error)));
            }
            Poll::Pending => {
                self.transport.as_mut().take_paused();
                return false;
            }
        }
        true
    }

    /// Tells the future that the connection failed, and ends that.
    #[cold]
    fn fail_stream(&mut self, cx: &Context<'_>, error: &LineError) -> Transition {
        if let Step::Detached(detached) = &*self.step {
            detached.bridge.end_input(cx, Some(kind_of(error)));
        }
        Transition::End(error.into())
    }
}

fn kind_of(error: &LineError) -> std::io::ErrorKind {
    match error {
        LineError::Io(error) => error.kind(),
        _ => std::io::ErrorKind::InvalidData,
    }
}
