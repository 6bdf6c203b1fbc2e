//! What the frames of a session wait for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;

use super::{
    Action, ActionOf, Session,
    deferred::{Back, BackFuture},
    overlapping::Overlapping,
    running::Running,
    stack::Limited,
};
use crate::{
    Batch, BoxError,
    exceeded::Exceeded,
    protocol::Protocol,
    push::RoomWait,
    response::ReplyParts,
    stats::LineResults,
    thread_context::{READINESS, Readiness},
};

pub(super) type LimitedBack<S> = Limited<<S as Session>::Protocol, S>;

/// What the frames behind wait for.
pub(super) enum Waiting<S: Session> {
    New(BackFuture<S::Protocol, S>, Option<Duration>),
    Limited(Pin<Box<LimitedBack<S>>>),
    /// It is done, and its reply waits until the peer takes those before it.
    Done(Option<Result<Back<S::Protocol, S>, BoxError>>),
    /// Several at once, beside which frames are called.
    Overlapping(Box<Overlapping<S>>),
    Parts(ReplyParts),
    /// Room for what it pushed.
    Room(Box<RoomWait>),
    /// The end of the connection, for this error.
    Failed(Option<BoxError>),
}

impl<S: Session> Waiting<S> {
    /// Whether everything that was written ends with a reply, so that something may be pushed.
    pub(super) fn is_between_replies(&self) -> bool {
        match self {
            Self::Parts(_) | Self::Failed(_) => false,
            Self::Overlapping(overlapping) => !overlapping.has_stream(),
            Self::New(..) | Self::Limited(_) | Self::Done(_) | Self::Room(_) => true,
        }
    }

    /// Polls futures, and keeps what they give for later: at most one value for each.
    pub(super) fn poll_blocked(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Limited(limited) => {
                if let Poll::Ready(done) = limited.as_mut().poll(cx) {
                    *self = Self::Done(Some(done));
                }
            }
            Self::Overlapping(overlapping) => while overlapping.take_done(cx) {},
            Self::New(..) | Self::Done(_) | Self::Parts(_) | Self::Room(_) | Self::Failed(_) => {}
        }
    }
}

/// The batch that is answered, while something waits.
pub(super) struct Turn<'a, 'cx, P: Protocol> {
    pub(super) cx: &'a mut Context<'cx>,
    pub(super) batch: &'a Batch<P>,
    /// Where its next frame begins.
    pub(super) at: &'a mut usize,
    pub(super) out: &'a mut BytesMut,
    pub(super) answered: &'a mut LineResults,
    /// Frames may be called beside what waits, if the session says so.
    pub(super) overlaps: bool,
    /// The limit of frames was changed since the batch was cut: its frames are called one by one.
    pub(super) rechecks: bool,
}

impl<S: Session> Running<S> {
    /// Polls what the frames behind wait for. Ready with `None` if the wait goes on, and something was written or
    /// done meanwhile.
    pub(super) fn poll_waiting(
        &mut self,
        waiting: &mut Waiting<S>,
        turn: &mut Turn<'_, '_, S::Protocol>,
    ) -> Poll<Result<Option<ActionOf<S>>, BoxError>> {
        let done = match waiting {
            Waiting::Overlapping(overlapping) => return self.poll_overlapping(overlapping, turn),
            Waiting::Parts(parts) => {
                let end = poll_part(turn.cx, parts, turn.out);
                return end.map_ok(|end| end.then_some(Action::Continue));
            }
            Waiting::Room(room) => {
                if room.poll(turn.cx).is_pending() {
                    READINESS.with(Readiness::set_room_awaited);
                    return Poll::Pending;
                }
                return Poll::Ready(Ok(Some(Action::Continue)));
            }
            Waiting::Failed(error) => {
                return Poll::Ready(error.take().map_or(Ok(Some(Action::Close)), Err));
            }
            Waiting::New(future, within) => match Pin::new(&mut *future).poll(turn.cx) {
                Poll::Ready(back) => Ok(back),
                Poll::Pending => {
                    // It waits, so it needs a permit and has a deadline from now on.
                    let limited = self.stack.limit(std::mem::take(future), *within);
                    let overlap = self.session.overlap();
                    *waiting = if turn.overlaps && !overlap.is_off() {
                        let is_frame = !turn.batch.is_empty();
                        let overlapping = Overlapping::new(overlap, limited, is_frame);
                        Waiting::Overlapping(Box::new(overlapping))
                    } else {
                        Waiting::Limited(Box::pin(limited))
                    };
                    return self.poll_waiting(waiting, turn);
                }
            },
            Waiting::Limited(limited) => match limited.as_mut().poll(turn.cx) {
                Poll::Ready(done) => done,
                Poll::Pending => return Poll::Pending,
            },
            Waiting::Done(done) => match done.take() {
                Some(done) => done,
                None => return Poll::Ready(Ok(Some(Action::Continue))),
            },
        };
        Poll::Ready(self.take_back(done, turn.out, turn.answered).map(Some))
    }

    /// Has the session reply with what was waited for, or writes the protocol's word for a timeout or an overload.
    pub(super) fn take_back(
        &mut self,
        done: Result<Back<S::Protocol, S>, BoxError>,
        out: &mut BytesMut,
        answered: &mut LineResults,
    ) -> Result<ActionOf<S>, BoxError> {
        let error = match done {
            Ok(back) => {
                answered.ok += 1;
                return Ok(self.call(out, |session, cx| back.answer(session, cx)));
            }
            Err(error) => error,
        };
        let exceeded = Exceeded::of(&error).ok_or(error)?;
        answered.add(exceeded.result(), 1);
        S::Protocol::notice(&exceeded.notice(), out);
        Ok(Action::Continue)
    }
}

/// Writes the next part of a reply. Ready with `true` behind the last one.
pub(super) fn poll_part(
    cx: &mut Context<'_>,
    parts: &mut ReplyParts,
    out: &mut BytesMut,
) -> Poll<Result<bool, BoxError>> {
    let part = ready!(parts.as_mut().poll_next(cx)).transpose()?;
    if let Some(part) = &part {
        out.extend_from_slice(part);
    }
    Poll::Ready(Ok(part.is_none()))
}
