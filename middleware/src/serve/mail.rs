//! The loop's step from what was pushed to a session's connection to the socket.
//!
//! Where all that was written ends with a reply: when the replies of a turn are written, while a deferred reply
//! waits, and at the end of a drain. What the socket does not take stays where it is, shared with all that wait for
//! the same; if that is inside of a message, everything else waits for the rest of it.

use std::task::{Context, Poll, ready};

use super::{
    connection::{Projection, Step, Transition},
    respond::Respond,
};
use crate::{
    Batch, LineError, Transport,
    protocol::{Notice, Protocol},
    push::{NextMail, Recipient},
    stats::CloseReason,
};

/// Bytes that are pushed in a turn: what a read brings.
const TURN_BYTES: usize = 64 * crate::KIB;

/// Writes of a turn. Each takes 2 to 5 µs.
const TURN_WRITES: u32 = 4;

impl<T, S, P> Projection<'_, T, S, P>
where
    T: Transport<Protocol = P>,
    S: Respond<P>,
    P: Protocol,
{
    /// Writes what was pushed, unless replies are unsent. Returns how the connection goes on if it does not park.
    #[inline]
    pub(super) fn push(&mut self, cx: &mut Context<'_>) -> Option<Transition> {
        if self.has_mail() { self.push_mail(cx) } else { None }
    }

    /// Whether something was pushed that the connection has to look at.
    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        S::IS_SESSION && self.service.recipient().is_some_and(Recipient::has_mail)
    }

    /// Begins a turn: nothing is written to the connection by others until it parks again.
    #[inline]
    pub(super) fn begin_push_turn(&mut self) {
        if S::IS_SESSION && self.service.recipient().is_some_and(Recipient::begin_turn) {
            self.transport.as_mut().set_inside_push(true);
        }
    }

    fn next_mail(&self) -> NextMail {
        self.service.recipient().map_or(NextMail::Nothing, Recipient::next_mail)
    }

    #[inline(never)]
    fn push_mail(&mut self, cx: &mut Context<'_>) -> Option<Transition> {
        let (mut bytes, mut writes) = (0, 0);
        loop {
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Some(Transition::End((&error).into())),
                Poll::Pending => return None,
            }
            // Most mail is one write, behind which there is none.
            if writes > 0 && !self.has_mail() {
                return None;
            }
            if bytes >= TURN_BYTES || writes >= TURN_WRITES {
                return Some(Transition::Yield);
            }
            let mail = match self.next_mail() {
                NextMail::Write(mail) => mail,
                NextMail::Close => return Some(self.go(Step::Closing(CloseReason::ServiceClose))),
                // It is given up when it parks.
                NextMail::Nothing | NextMail::TooSlow => return None,
            };
            match self.push_once(cx, &mail) {
                Poll::Ready(Ok(n)) => bytes += n,
                Poll::Ready(Err(error)) => return Some(Transition::End((&error).into())),
                Poll::Pending => return None,
            }
            writes += 1;
        }
    }

    fn push_once(&mut self, cx: &mut Context<'_>, mail: &[u8]) -> Poll<Result<usize, LineError>> {
        let n = ready!(self.transport.as_mut().poll_push(cx, mail))?;
        let inside = self.service.recipient().is_some_and(|recipient| recipient.advance_mail(n));
        self.transport.as_mut().set_inside_push(inside);
        Poll::Ready(Ok(n))
    }

    /// Flushes the transport, behind the rest of a message that is pushed.
    #[inline]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        if S::IS_SESSION && self.transport.is_inside_push() {
            ready!(self.finish_push(cx))?;
        }
        self.transport.as_mut().poll_flush(cx)
    }

    /// Closes the transport, behind the rest of a message that is pushed.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        if S::IS_SESSION && self.transport.is_inside_push() {
            ready!(self.finish_push(cx))?;
        }
        self.transport.as_mut().poll_close(cx)
    }

    #[cold]
    fn finish_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        while self.transport.is_inside_push() {
            match self.next_mail() {
                NextMail::Write(mail) => {
                    ready!(self.push_once(cx, &mail))?;
                }
                // It is given up when it parks.
                NextMail::TooSlow => return Poll::Pending,
                // The rest was dropped, and the connection ends.
                NextMail::Nothing | NextMail::Close => {
                    self.transport.as_mut().set_inside_push(false);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all that was pushed before the drain, and takes nothing more. Returns how the connection goes on if
    /// that is not done.
    #[cold]
    pub(super) fn push_last(&mut self, cx: &mut Context<'_>) -> Option<Transition> {
        self.service.recipient().into_iter().for_each(Recipient::stop_mail);
        if let Some(next) = self.push(cx) {
            return Some(next);
        }
        let waits = self.has_mail() && !self.is_too_slow();
        waits.then(|| self.wait_to_write())
    }

    /// Whether the connection must end because it takes too little of what is pushed to it.
    #[inline]
    pub(super) fn is_too_slow(&self) -> bool {
        self.service.recipient().is_some_and(Recipient::is_too_slow)
    }

    /// Tells the peer that it takes too little of what is pushed to it, if it takes that.
    #[cold]
    pub(super) fn say_too_slow(&mut self, cx: &mut Context<'_>) {
        if self.transport.unsent_bytes() == 0
            && self.transport.as_mut().start_send(Batch::notice(&Notice::TooSlow, 1)).is_ok()
        {
            let _ = self.transport.as_mut().poll_flush(cx);
        }
    }
}
