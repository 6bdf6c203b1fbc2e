//! A session and the calls of its methods.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::BytesMut;
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep},
};

use super::{
    Action, ActionOf, Conn, Cx, Session, SessionStack, TimerChange,
    body::BodyCut,
    frame_max::FrameMax,
    waiting::{Turn, Waiting},
};
use crate::{
    Batch, BoxError,
    clock::Nanos,
    drain::WakerIdentity,
    push::{RoomWait, must_wait},
    response::{SessionReply, sealed::Then},
    rest::{FRAMES_UNMEASURED, PART_BYTES, PartClock},
    serve::Overlapped,
    stats::{CloseReason, LineResults},
    thread_context::block_pool::{put_output, take_output},
};

/// Actions, and replies that were waited for, after which a part goes to the sink.
const PART_STEPS: u32 = 256;

/// A session on its connection.
pub(super) struct Running<S: Session> {
    pub(super) session: S,
    pub(super) conn: Conn<S::Protocol>,
    pub(super) stack: SessionStack,
    timer: Option<Pin<Box<Sleep>>>,
    pub(super) frame_max: FrameMax,
    drained: bool,
    /// The body that comes, instead of frames.
    pub(super) body: Option<Box<BodyCut>>,
    /// What is called when a handshake is done.
    pub(super) secured: Option<Hook<S>>,
    /// The task that is woken when mail comes.
    registered: WakerIdentity,
}

/// A batch on its way through a session, or one of the session's other methods.
pub struct SessionCall<S: Session> {
    pub(super) first: Option<Hook<S>>,
    pub(super) batch: Batch<S::Protocol>,
    /// Where the next frame begins.
    pub(super) at: usize,
    waiting: Option<Waiting<S>>,
    begun: Nanos,
    /// The connection closes behind it.
    close: Option<CloseReason>,
    /// Frames may be called beside what it waits for, if the session says so.
    overlaps: bool,
    /// The limit of frames was changed since the batch was cut.
    rechecks: bool,
    /// The rest of the batch is behind a body, and not cut into frames.
    pub(super) reframes: bool,
}

pub(super) type Hook<S> = fn(&mut S, &mut Cx<'_, <S as Session>::Protocol>) -> ActionOf<S>;

// Nothing in it is pinned in place: futures and streams are boxed.
impl<S: Session> Unpin for SessionCall<S> {}

impl<S: Session> fmt::Debug for SessionCall<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCall").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<S: Session> SessionCall<S> {
    /// A call in which nothing is done.
    pub(super) fn nothing() -> Self {
        let (batch, begun) = (Batch::default(), Nanos(0));
        Self {
            first: None,
            batch,
            at: 0,
            waiting: None,
            begun,
            close: None,
            overlaps: false,
            rechecks: false,
            reframes: false,
        }
    }

    /// A call of a method that is called when there is nothing else to do.
    pub(super) fn hook(hook: Hook<S>, close: Option<CloseReason>) -> Self {
        Self { first: Some(hook), close, ..Self::nothing() }
    }

    /// Whether nothing is waited for, and no frame is left.
    fn is_answered(&self) -> bool {
        self.waiting.is_none() && self.first.is_none() && self.at >= self.batch.as_bytes().len()
    }

    /// Polls what it waits for, and answers nothing: a permit does not wait for a peer that takes no replies.
    pub(super) fn poll_blocked(&mut self, cx: &mut Context<'_>) {
        if let Some(waiting) = &mut self.waiting {
            waiting.poll_blocked(cx);
        }
    }

    /// Whether everything that was written ends with a reply, so that something may be pushed.
    pub(super) fn is_between_replies(&self) -> bool {
        self.waiting.as_ref().is_none_or(Waiting::is_between_replies)
    }

    /// What the loop needs to know of a call that may take further batches.
    pub(super) fn overlapped(&self) -> Option<Overlapped> {
        let Some(Waiting::Overlapping(overlapping)) = &self.waiting else { return None };
        let batch_bytes = self.batch.as_bytes().len();
        Some(Overlapped {
            held_bytes: batch_bytes + overlapping.held_bytes(),
            takes_batch: self.at >= batch_bytes && overlapping.takes_frame(),
        })
    }
}

impl<S: Session> Running<S> {
    pub(super) const fn new(session: S, conn: Conn<S::Protocol>, stack: SessionStack) -> Self {
        Self {
            session,
            conn,
            stack,
            timer: None,
            frame_max: FrameMax::NONE,
            drained: false,
            body: None,
            secured: None,
            registered: WakerIdentity::NONE,
        }
    }

    /// Counts a batch, and takes it.
    pub(super) fn begin(&self, batch: Batch<S::Protocol>) -> SessionCall<S> {
        let stats = self.stack.stats();
        let mut begun = Nanos(0);
        if stats.is_counted() {
            stats.lines_received.add(batch.count() as u64);
            stats.batches.add(1);
            begun = stats.begin_batch();
        }
        SessionCall { batch, begun, overlaps: true, ..SessionCall::nothing() }
    }

    /// Gives another batch to a call whose own frames have all been called.
    pub(super) fn extend(&self, call: &mut SessionCall<S>, batch: Batch<S::Protocol>) {
        self.end_batch(call);
        let SessionCall { batch, begun, .. } = self.begin(batch);
        (call.batch, call.begun, call.at, call.rechecks) = (batch, begun, 0, false);
    }

    /// Counts a batch as answered. Replies of it that still wait are not part of its time.
    #[inline]
    fn end_batch(&self, call: &mut SessionCall<S>) {
        if call.batch.is_empty() {
            return;
        }
        if self.stack.stats().is_counted() {
            self.stack.stats().reply_batch(call.begun);
        }
        // A line and its reply use two short blocks in turn, and allocate nothing; those of a flood use two
        // blocks of the pool.
        if let Ok(read) = std::mem::take(&mut call.batch).try_into_mut() {
            put_output(read);
        }
    }

    /// The call that says last words, the first time.
    pub(super) fn drain(&mut self, reason: CloseReason) -> Option<SessionCall<S>> {
        let first = !std::mem::replace(&mut self.drained, true);
        first.then(|| SessionCall::hook(S::on_drain, Some(reason)))
    }

    /// Has the task of `cx` woken when mail comes. Returns whether there is some.
    #[inline]
    pub(super) fn register_mail(&mut self, cx: &Context<'_>) -> bool {
        let waker = WakerIdentity::of(cx.waker());
        if self.registered == waker {
            return false;
        }
        self.registered = waker;
        self.conn.recipient().register(cx.waker())
    }

    /// Ready when the timer has passed, once.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<SessionCall<S>> {
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        // A session that used up its task's budget would otherwise keep its timer pending.
        if pin!(unconstrained(timer.as_mut())).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        Poll::Ready(SessionCall { overlaps: true, ..SessionCall::hook(S::on_timer, None) })
    }

    /// Answers frames until the batch is done, a part is full, or something must be waited for.
    pub(super) fn answer(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut SessionCall<S>,
    ) -> Poll<Result<SessionReply<S::Protocol>, BoxError>> {
        let mut out = take_output(call.batch.as_bytes().len());
        let mut answered = LineResults::default();
        let (mut steps, mut clock) = (0, PartClock::default());
        let then = loop {
            steps += 1;
            let action = if call.waiting.is_some() {
                match self.poll_call_waiting(cx, call, &mut out, &mut answered) {
                    Poll::Ready(Ok(None)) => Action::Continue,
                    Poll::Ready(Ok(Some(action))) => {
                        call.waiting = None;
                        action
                    }
                    Poll::Ready(Err(error)) if out.is_empty() => {
                        put_output(out);
                        self.count(answered, call);
                        return Poll::Ready(Err(error));
                    }
                    Poll::Ready(Err(error)) => {
                        // What was said before it is written first.
                        call.waiting = Some(Waiting::Failed(Some(error)));
                        break Then::Call;
                    }
                    Poll::Pending if out.is_empty() => {
                        put_output(out);
                        self.count(answered, call);
                        return Poll::Pending;
                    }
                    Poll::Pending => break Then::Call,
                }
            } else if let Some(hook) = call.first.take() {
                self.call(&mut out, hook)
            } else if self.body.is_some() && call.at < call.batch.as_bytes().len() {
                match self.take_piece(call, &mut out) {
                    Ok(action) => action,
                    Err(then) => break then,
                }
            } else {
                let SessionCall { batch, at, rechecks, .. } = call;
                let batch = batch.as_bytes();
                // A new limit also holds for frames that were read before it was set: the result must not
                // depend on how the input was cut into batches.
                if *rechecks && self.frame_max.refuse_first::<S::Protocol>(&batch[*at..], &mut out)
                {
                    break Then::Close(CloseReason::LineTooLong);
                }
                let frames_max = if *rechecks { 1 } else { FRAMES_UNMEASURED };
                let (frames, action) = self.answer_frames(batch, at, &mut out, frames_max);
                answered.ok += frames;
                if frames == FRAMES_UNMEASURED && clock.is_over() {
                    // The last step of this part.
                    steps = PART_STEPS;
                }
                action
            };
            call.rechecks |= self.frame_max.take_new();
            if must_wait() && call.waiting.is_none() && matches!(action, Action::Continue) {
                // What it pushed filled something. Its further frames wait until there is room.
                call.waiting = Some(Waiting::Room(Box::new(RoomWait::take())));
                continue;
            }
            if call.reframes && matches!(action, Action::Continue) {
                break Then::Reframe { rest: call.take_rest(), raw: false };
            }
            match action {
                Action::Continue if call.is_answered() => match call.close {
                    None => break Then::Next,
                    Some(reason) => break Then::Close(reason),
                },
                Action::Continue => {}
                Action::Close => {
                    break Then::Close(call.close.unwrap_or(CloseReason::ServiceClose));
                }
                Action::Deferred(deferred) => {
                    // It is answered when the future is done.
                    answered.ok = answered.ok.saturating_sub(1);
                    let (future, within) = deferred.into_parts();
                    call.waiting = Some(Waiting::New(future, within));
                }
                Action::ReplyStream(stream) => call.waiting = Some(Waiting::Parts(*stream.0)),
                Action::Body(body) => {
                    if let Some(then) = self.begin_body(call, body) {
                        break then;
                    }
                }
                Action::Detach(detach) => {
                    // A message would come between bytes that are no replies.
                    self.conn.recipient().close_mailbox();
                    break Then::Detach { rest: call.take_rest(), detach };
                }
                Action::Secure(secure) => {
                    if let Some(then) = self.begin_tls(call, &secure, &mut out) {
                        break then;
                    }
                }
            }
            if out.len() >= PART_BYTES || steps >= PART_STEPS {
                break Then::Call;
            }
        };
        self.count(answered, call);
        if !matches!(then, Then::Call) {
            self.end_batch(call);
        }
        let frames = answered.ok.max(1);
        Poll::Ready(Ok(SessionReply::new(Batch::counted(out, frames), then)))
    }

    /// Polls what the frames of a call wait for. Never inlined: most frames are answered at once.
    #[inline(never)]
    fn poll_call_waiting(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut SessionCall<S>,
        out: &mut BytesMut,
        answered: &mut LineResults,
    ) -> Poll<Result<Option<ActionOf<S>>, BoxError>> {
        let SessionCall { waiting: Some(waiting), batch, at, overlaps, rechecks, .. } = call else {
            return Poll::Ready(Ok(Some(Action::Continue)));
        };
        let (overlaps, rechecks) = (*overlaps, *rechecks);
        self.poll_waiting(waiting, &mut Turn { cx, batch, at, out, answered, overlaps, rechecks })
    }

    /// Calls a method of the session, and sets its timer if it says so.
    #[inline]
    pub(super) fn call<T>(
        &mut self,
        out: &mut BytesMut,
        method: impl FnOnce(&mut S, &mut Cx<'_, S::Protocol>) -> T,
    ) -> T {
        let Self { session, conn, stack, timer, frame_max, .. } = self;
        let mut change = None;
        let returned = method(session, &mut Cx::new(out, conn, stack, &mut change, frame_max));
        match change {
            None => {}
            Some(TimerChange::Clear) => *timer = None,
            Some(TimerChange::Set(wait)) => match timer {
                Some(timer) => timer.as_mut().reset(Instant::now() + wait),
                None => *timer = Some(Box::pin(sleep(wait))),
            },
        }
        returned
    }

    /// Counts frames; the other methods of a session answer none.
    fn count(&self, answered: LineResults, call: &SessionCall<S>) {
        if !call.batch.is_empty() {
            answered.count_in(self.stack.stats());
        }
    }
}
