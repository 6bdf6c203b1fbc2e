//! Deferred replies that wait at the same time, and the frames that are called meanwhile.

mod queue;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

pub(super) use self::queue::Overlapping;
use self::queue::{Done, End, Queued};
use super::{
    Action, ActionOf, Deferred, Session,
    running::Running,
    waiting::{Turn, poll_part},
};
use crate::{BoxError, rest::PART_BYTES, stats::LineResults};

impl<S: Session> Running<S> {
    /// Does the next thing that can be done: takes a reply that is done, writes what is at the front of the
    /// queue, or calls a frame. Ready with an action when nothing waits any more.
    pub(super) fn poll_overlapping(
        &mut self,
        overlapping: &mut Overlapping<S>,
        turn: &mut Turn<'_, '_, S::Protocol>,
    ) -> Poll<Result<Option<ActionOf<S>>, BoxError>> {
        // Before anything is written: beside a stream that never waits, futures would not be polled.
        if overlapping.take_done(turn.cx) {
            return Poll::Ready(Ok(None));
        }
        if let Poll::Ready(written) = self.write_front(overlapping, turn) {
            return Poll::Ready(written);
        }
        if overlapping.takes_frame() && self.call_beside(overlapping, turn) {
            return Poll::Ready(Ok(None));
        }
        Poll::Pending
    }

    /// Writes the reply at the front of the queue, or a part of it. Pending if that reply still waits.
    fn write_front(
        &mut self,
        overlapping: &mut Overlapping<S>,
        turn: &mut Turn<'_, '_, S::Protocol>,
    ) -> Poll<Result<Option<ActionOf<S>>, BoxError>> {
        if overlapping.is_empty() {
            let end = overlapping.take_end().map_or(Action::Continue, |(words, end)| {
                turn.out.extend_from_slice(&words);
                end
            });
            return Poll::Ready(Ok(Some(end)));
        }
        let is_written = match overlapping.front_mut() {
            None | Some(Queued::Running) => return Poll::Pending,
            Some(Queued::Done(_)) => true,
            Some(Queued::Parts(parts)) => ready!(poll_part(turn.cx, parts, turn.out))?,
            Some(Queued::Said(_)) => {
                let bytes_max = PART_BYTES.saturating_sub(turn.out.len());
                overlapping.write_said(turn.out, bytes_max)
            }
        };
        if is_written && let Some(Queued::Done(done)) = overlapping.pop_front() {
            return Poll::Ready(self.answer_done(overlapping, done, turn));
        }
        Poll::Ready(Ok(None))
    }

    /// Has the session reply with the value of a future that is done.
    fn answer_done(
        &mut self,
        overlapping: &mut Overlapping<S>,
        done: Done<S>,
        turn: &mut Turn<'_, '_, S::Protocol>,
    ) -> Result<Option<ActionOf<S>>, BoxError> {
        let Done { result, is_frame } = done;
        let said_before = turn.out.len();
        let mut uncounted = LineResults::default();
        let answered = if is_frame { &mut *turn.answered } else { &mut uncounted };
        match self.take_back(result, turn.out, answered)? {
            Action::Continue => {}
            Action::Close if overlapping.is_tagged() => {
                overlapping.end_behind(&turn.out.split_off(said_before), Action::Close);
            }
            turned @ (Action::Body(_) | Action::Detach(_) | Action::Secure(_)) => {
                overlapping.end_behind(&turn.out.split_off(said_before), turned);
            }
            // Replies to frames behind it are dropped, even if those frames have been called.
            Action::Close => return Ok(Some(Action::Close)),
            Action::ReplyStream(stream) => overlapping.put(Queued::Parts(*stream.0), End::Front),
            Action::Deferred(deferred) => {
                answered.ok = answered.ok.saturating_sub(1);
                self.defer(overlapping, deferred, is_frame, End::Front, turn.cx);
            }
        }
        Ok(None)
    }

    /// Calls the timer's method if it is due, else the next frame. The reply is queued behind those that wait,
    /// unless replies have tags. Returns whether anything was called.
    fn call_beside(
        &mut self,
        overlapping: &mut Overlapping<S>,
        turn: &mut Turn<'_, '_, S::Protocol>,
    ) -> bool {
        let is_frame = self.poll_timer(turn.cx).is_pending();
        if is_frame && (turn.rechecks || *turn.at >= turn.batch.as_bytes().len()) {
            return false;
        }
        let mut held = (!overlapping.is_tagged()).then(|| overlapping.take_said());
        let out = held.as_mut().unwrap_or(turn.out);
        let said_before = out.len();
        let mut action = if is_frame {
            turn.answered.ok += 1;
            self.answer_frames(turn.batch.as_bytes(), turn.at, out, 1).1
        } else {
            self.call(out, S::on_timer)
        };
        let ends = match action {
            Action::Continue | Action::ReplyStream(_) | Action::Deferred(_) => false,
            Action::Close | Action::Body(_) | Action::Detach(_) | Action::Secure(_) => true,
        };
        if ends {
            let end = std::mem::replace(&mut action, Action::Continue);
            overlapping.end_behind(&out.split_off(said_before), end);
        }
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            overlapping.put(Queued::Said(held), End::Back);
        }
        match action {
            Action::Continue
            | Action::Close
            | Action::Body(_)
            | Action::Detach(_)
            | Action::Secure(_) => {}
            Action::ReplyStream(stream) => overlapping.put(Queued::Parts(*stream.0), End::Back),
            Action::Deferred(deferred) => {
                if is_frame {
                    turn.answered.ok = turn.answered.ok.saturating_sub(1);
                }
                self.defer(overlapping, deferred, is_frame, End::Back, turn.cx);
            }
        }
        true
    }

    /// Begins to wait for a reply. One that is done at once needs no permit.
    fn defer(
        &mut self,
        overlapping: &mut Overlapping<S>,
        deferred: Deferred<S::Protocol, S>,
        is_frame: bool,
        end: End,
        cx: &mut Context<'_>,
    ) {
        let (mut future, within) = deferred.into_parts();
        match Pin::new(&mut future).poll(cx) {
            Poll::Ready(back) => {
                overlapping.put(Queued::Done(Done { result: Ok(back), is_frame }), end);
            }
            Poll::Pending => overlapping.run(self.stack.limit(future, within), is_frame, end),
        }
    }
}
