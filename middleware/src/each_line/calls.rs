//! A batch on its way through a service of single lines.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use futures_util::stream::FuturesOrdered;
use tokio::task::coop::poll_proceed;
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

use super::slot::Slot;
use crate::{
    BoxError, Line, Lines,
    exceeded::Exceeded,
    lines::next_line,
    protocol::{Lf, Protocol},
    rest::{PART_BYTES, Part, PartClock, Rest},
    stats::LineResults,
    thread_context::block_pool::{put_output, take_output},
};

/// Lines for which a unit of the task's budget is taken, and the clock is read.
const LINES_UNMEASURED: u32 = 16;

/// The lines of a batch that are not answered, and the calls that run.
pub(super) struct Calls<S: Service<Line>> {
    service: S,
    /// Lines whose calls have not begun.
    lines: Bytes,
    running: RunningCalls<S>,
    /// Lines that are not answered.
    left: u32,
    /// Lines that were answered by the last [`serve`](Self::serve).
    answered: u32,
    failed: Option<BoxError>,
}

type LineSlot<S> = Slot<S, Line, <S as Service<Line>>::Future>;

/// The calls that run.
enum RunningCalls<S: Service<Line>> {
    /// One at a time, in one place, which is made for the first.
    One(Option<Pin<Box<LineSlot<S>>>>),
    /// Up to a number of them, each woken for itself.
    Many { calls: FuturesOrdered<Oneshot<S, Line>>, most: usize },
}

/// Why no more lines are served for now.
pub(super) enum Stop {
    /// All lines are answered.
    Done,
    /// The part is large enough, or took long enough.
    Full,
    /// The next reply is waited for.
    Waits,
    Fails(BoxError),
}

impl<S> Calls<S>
where
    S: Service<Line> + Clone,
    S::Response: AsRef<[u8]>,
    S::Error: Into<BoxError>,
{
    pub(super) fn new(service: S, concurrent: usize, lines: Lines) -> Self {
        let running = match concurrent {
            1 => RunningCalls::One(None),
            most => RunningCalls::Many { calls: FuturesOrdered::new(), most },
        };
        let left = lines.count() as u32;
        let lines = lines.into_bytes();
        Self { service, lines, running, left, answered: 0, failed: None }
    }

    /// Bytes of the lines whose calls have not begun.
    pub(super) const fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Lines that were answered by the last [`serve`](Self::serve).
    pub(super) const fn answered(&self) -> u32 {
        self.answered
    }

    /// Keeps `error` for the next part, which answers the line or ends with it.
    pub(super) fn fail(&mut self, error: BoxError) {
        self.failed = Some(error);
    }

    /// Serves lines, in order, and appends their replies to `out`.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Stop {
        let before = self.left;
        let stop = self.serve_lines(cx, out);
        self.answered = before - self.left;
        stop
    }

    fn serve_lines(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Stop {
        let mut lines = 0;
        let mut clock = PartClock::default();
        while out.len() < PART_BYTES {
            if lines % LINES_UNMEASURED == 0 {
                // A service that never waits would otherwise hold the thread for the whole batch.
                match poll_proceed(cx) {
                    Poll::Ready(budget) => budget.made_progress(),
                    Poll::Pending => return Stop::Waits,
                }
                if lines > 0 && clock.is_over() {
                    break;
                }
            }
            lines += 1;
            let reply = match &mut self.running {
                RunningCalls::One(slot) => {
                    let slot = slot.get_or_insert_with(|| Box::pin(Slot::Free)).as_mut();
                    if slot.is_busy() {
                        slot.poll_call(cx)
                    } else {
                        let Some(line) = next_line(&mut self.lines) else { return Stop::Done };
                        slot.call(cx, self.service.clone(), line)
                    }
                }
                RunningCalls::Many { calls, most } => {
                    while calls.len() < *most
                        && let Some(line) = next_line(&mut self.lines)
                    {
                        calls.push_back(self.service.clone().oneshot(line));
                    }
                    match Pin::new(calls).poll_next(cx) {
                        Poll::Ready(Some(reply)) => Poll::Ready(reply),
                        Poll::Ready(None) => return Stop::Done,
                        Poll::Pending => Poll::Pending,
                    }
                }
            };
            match reply {
                Poll::Ready(Ok(reply)) => {
                    put_reply(reply.as_ref(), out);
                    self.left = self.left.saturating_sub(1);
                }
                Poll::Ready(Err(error)) => return Stop::Fails(error.into()),
                Poll::Pending => return Stop::Waits,
            }
        }
        Stop::Full
    }

    /// Answers a line whose call failed with a timeout or an overload. Returns any other error.
    fn answer_failure(
        &mut self,
        error: BoxError,
        out: &mut BytesMut,
    ) -> Result<LineResults, BoxError> {
        let exceeded = Exceeded::of(&error).ok_or(error)?;
        Lf::notice(&exceeded.notice(), out);
        self.left = self.left.saturating_sub(1);
        Ok(LineResults::of(exceeded.result(), 1))
    }
}

#[inline]
fn put_reply(reply: &[u8], out: &mut BytesMut) {
    out.reserve(reply.len() + 1);
    out.put_slice(reply);
    out.put_u8(b'\n');
}

impl<S> Rest for Calls<S>
where
    S: Service<Line, Future: Send> + Clone + Send + 'static,
    S::Response: AsRef<[u8]> + Send,
    S::Error: Into<BoxError> + Send,
{
    fn poll_part(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BoxError>>> {
        let this = self.get_mut();
        let mut out = take_output(this.bytes());
        let mut results = LineResults::default();
        loop {
            if let Some(error) = this.failed.take() {
                match this.answer_failure(error, &mut out) {
                    Ok(answered) => results += answered,
                    Err(error) if out.is_empty() => return Poll::Ready(Some(Err(error))),
                    Err(error) => {
                        // What was said before it is written first.
                        this.failed = Some(error);
                        break;
                    }
                }
            }
            let stop = this.serve(cx, &mut out);
            results.ok += this.answered;
            match stop {
                Stop::Fails(error) => this.failed = Some(error),
                Stop::Waits if out.is_empty() => {
                    put_output(out);
                    return Poll::Pending;
                }
                Stop::Done if out.is_empty() => {
                    put_output(out);
                    return Poll::Ready(None);
                }
                Stop::Done | Stop::Full | Stop::Waits => break,
            }
        }
        Poll::Ready(Some(Ok(Part { bytes: out, results })))
    }

    fn frames(&self) -> u32 {
        self.left
    }
}

// Nothing in it is pinned in place: running calls are boxed.
impl<S: Service<Line>> Unpin for Calls<S> {}

impl<S: Service<Line>> fmt::Debug for Calls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("left", &self.left).finish_non_exhaustive()
    }
}
