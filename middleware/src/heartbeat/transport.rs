use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_sink::Sink;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Deadlines, Due, Seen, layer::Shared};
use crate::{
    LineError, Lines, Wire,
    stats::Nanos,
    wire::{Holding, Lapse, Phase},
};

const PING: &[u8] = b"ping\n";
const PONG: &[u8] = b"pong";

pin_project! {
    /// A transport that speaks by itself when the peer is silent, and gives up on one that is dead.
    ///
    /// Requires of `T` that a line may be sent whenever it is ready, between any two others.
    #[derive(Debug)]
    pub struct HeartbeatTransport<T> {
        #[pin]
        inner: T,
        shared: Arc<Shared>,
        deadlines: Deadlines,
        #[pin]
        timer: Sleep,
        // When the timer fires: never later than the earliest deadline, often earlier.
        armed: Nanos,
        // Until when the `pong` of a ping may still come; in the past when none may.
        pong_until: Nanos,
        heard: bool,
        wrote: bool,
    }
}

/// The timer has not been given to the runtime yet.
const UNARMED: Nanos = Nanos(u64::MAX);

impl<T> HeartbeatTransport<T> {
    pub(super) fn new(inner: T, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            inner,
            deadlines: Deadlines::new(shared.stats.at(now)),
            timer: sleep_until(now),
            armed: UNARMED,
            pong_until: Nanos(0),
            heard: false,
            wrote: false,
            shared,
        }
    }
}

impl<T: Wire> Stream for HeartbeatTransport<T> {
    type Item = Result<Lines, LineError>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            let lines = match ready!(this.inner.as_mut().poll_next(cx)) {
                Some(Ok(lines)) => lines,
                ended => return Poll::Ready(ended),
            };
            *this.heard = true;
            if *this.pong_until == Nanos(0) {
                return Poll::Ready(Some(Ok(lines)));
            }
            let in_time = this.shared.stats.now() <= *this.pong_until;
            let (rest, answered) = if in_time { without_pong(lines) } else { (lines, true) };
            if answered {
                *this.pong_until = Nanos(0);
            }
            if !rest.is_empty() {
                return Poll::Ready(Some(Ok(rest)));
            }
        }
    }
}

/// Takes the first line `pong` out, if there is one.
fn without_pong(lines: Lines) -> (Lines, bool) {
    let Some(at) = lines.iter().position(|line| line == PONG) else { return (lines, false) };
    let mut after = lines;
    let before = after.split_to(at);
    let _pong = after.split_to(1);
    let rest = match (before.is_empty(), after.is_empty()) {
        (true, _) => after,
        (_, true) => before,
        // Rare: other lines on both sides of it in one read.
        (false, false) => before.iter().chain(after.iter()).collect(),
    };
    (rest, true)
}

impl<T: Wire> Sink<Lines> for HeartbeatTransport<T> {
    type Error = LineError;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_ready(cx)
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, lines: Lines) -> Result<(), LineError> {
        self.project().inner.start_send(lines)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_close(cx)
    }
}

impl<T: Wire> Wire for HeartbeatTransport<T> {
    #[inline]
    fn unsent_bytes(&self) -> usize {
        self.inner.unsent_bytes()
    }

    #[inline]
    fn take_full_read(self: Pin<&mut Self>) -> bool {
        self.project().inner.take_full_read()
    }

    #[inline]
    fn park(self: Pin<&mut Self>) -> Holding {
        let this = self.project();
        let holding = this.inner.park();
        // Not everybody who parks looks at deadlines next.
        *this.wrote |= holding.wrote;
        holding
    }

    fn poll_lapse(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        now: Nanos,
        phase: Phase,
        holding: &mut Holding,
    ) -> Poll<Lapse> {
        let mut this = self.project();
        let mut now = now;
        loop {
            let seen = Seen {
                heard: std::mem::take(this.heard),
                mid_line: holding.read_bytes > 0,
                unsent: holding.write_bytes > 0,
                wrote: std::mem::take(this.wrote) | holding.wrote,
                phase,
            };
            this.deadlines.note(now, seen);
            let Some((at, due)) = this.deadlines.next(&this.shared.limits) else {
                return Poll::Pending;
            };
            if at > now {
                if at < *this.armed {
                    *this.armed = at;
                    this.timer.as_mut().reset(this.shared.stats.instant(at));
                }
                if this.timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // It fired for a deadline that has moved since: arm it for the one there is. Or for
                // this one, since the clock was read.
                *this.armed = UNARMED;
                now = this.shared.stats.now();
                continue;
            }
            match due {
                Due::End(lapse) => {
                    if lapse == Lapse::Heartbeat {
                        this.shared.stats.heartbeats_missed.add(1);
                    }
                    return Poll::Ready(lapse);
                }
                Due::Ping => {
                    this.deadlines.pinged(now);
                    let timeout = this.shared.limits.heartbeat_timeout;
                    *this.pong_until = Nanos(now.0 + timeout.as_nanos() as u64);
                    this.shared.stats.heartbeats_sent.add(1);
                    // A stream that fails here fails at the next read too, which says why.
                    if this.inner.as_mut().start_send(Lines::repeat(PING, 1)).is_ok() {
                        let _ = this.inner.as_mut().poll_flush(cx);
                    }
                    *holding = this.inner.as_mut().park();
                }
            }
        }
    }

    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.project().inner.poll_discard(cx)
    }
}
