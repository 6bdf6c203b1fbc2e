use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    pong::without_pong,
    supervision::Supervision,
    suspend_clock::Reading,
    timers::{Action, ConnectionTimers, Observation, Rearm, coalesced},
};
use crate::{
    Batch, LineError, Transport,
    clock::Nanos,
    drain::WakeEntry,
    push::Fact,
    session::StartTls,
    transport::{BufferedBytes, Expired, Parked, PeerEnd, Phase, Sealed},
};

pin_project! {
    /// A transport that pings a silent peer, and ends the connection when a deadline passed.
    ///
    /// Made by [`HeartbeatService`](super::HeartbeatService). Requires of `T` that a frame may be sent
    /// whenever it is ready, between any two others.
    ///
    /// As a plain `Stream + Sink` it does so while the stream is polled: a pending poll writes the ping
    /// that is due, and after a deadline the next item is an error of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut). A stream that is not polled counts as a peer that is silent.
    /// One task must poll both halves, because the stream flushes the sink.
    /// [`Serve`](crate::serve::Serve) checks deadlines when it parks, which costs less, and closes with
    /// the reason of the deadline.
    #[derive(Debug)]
    #[project = Projection]
    pub struct HeartbeatTransport<T> {
        #[pin]
        pub(super) inner: T,
        pub(super) supervision: Arc<Supervision>,
        timers: ConnectionTimers,
        // Only where no `Timers` run.
        own_timer: Option<Pin<Box<Sleep>>>,
        // Monotonic time at which the timer fires: never later than the earliest deadline, often earlier.
        armed: Nanos,
        // Until when the `pong` of a ping may still come; in the past when none may.
        pong_until: Nanos,
        line_received: bool,
        // Bytes that the socket took since the deadlines were checked.
        written_bytes: u16,
        // What the peer must still take before the write deadline begins anew.
        unread: u16,
        // Of the deadlines by which the timer is armed.
        version: u16,
    }
}

/// The timer is not registered with the runtime.
const UNARMED: Nanos = Nanos(u64::MAX);

impl<T> HeartbeatTransport<T> {
    pub(super) fn new(inner: T, supervision: Arc<Supervision>) -> Self {
        let begun = supervision.at(supervision.stats.at(Instant::now())).active;
        Self {
            inner,
            timers: ConnectionTimers::new(begun),
            own_timer: None,
            armed: UNARMED,
            pong_until: Nanos(0),
            line_received: false,
            written_bytes: 0,
            unread: 0,
            version: supervision.version(),
            supervision,
        }
    }

    /// The transport inside.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The transport inside. Lines that are read from it directly are not seen as signs of life.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends supervision and returns the transport inside.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

const fn observation(line_received: bool, buffered: &BufferedBytes, phase: Phase) -> Observation {
    Observation {
        line_received,
        mid_line: buffered.read_bytes > 0,
        unsent: buffered.write_bytes,
        written_bytes: buffered.written_bytes,
        phase,
    }
}

impl<T: Transport> Projection<'_, T> {
    /// Records that lines came in, and removes the answer to a ping from them.
    #[inline]
    fn receive(&mut self, batch: Batch<T::Protocol>) -> Batch<T::Protocol> {
        *self.line_received = true;
        // Without a frame it is a piece of a body.
        if *self.pong_until == Nanos(0) || batch.is_empty() {
            return batch;
        }
        let in_time = self.supervision.now().active <= *self.pong_until;
        let (rest, answered) =
            if in_time { without_pong(batch, &self.supervision.words) } else { (batch, true) };
        if answered {
            *self.pong_until = Nanos(0);
        }
        rest
    }

    /// Does what is due `now`, and arms the timer for what will be.
    fn poll_deadlines(
        mut self,
        cx: &mut Context<'_>,
        mut now: Reading,
        phase: Phase,
        wake: &mut WakeEntry<'_>,
        buffered: &mut BufferedBytes,
    ) -> Poll<Expired> {
        let deadlines = self.supervision.deadlines();
        loop {
            let Some((at, action)) = self.timers.next(&deadlines) else {
                return Poll::Pending;
            };
            if at > now.active {
                let fires = now.monotonic_at(at);
                if *self.armed <= now.monotonic {
                    // It fired, for a deadline that has moved since.
                    *self.armed = UNARMED;
                }
                if fires < *self.armed {
                    *self.armed = coalesced(now.monotonic, fires);
                    if !wake.wake_at(cx.waker(), *self.armed) {
                        let instant = self.supervision.instant(*self.armed);
                        match self.own_timer {
                            Some(timer) => timer.as_mut().reset(instant),
                            None => *self.own_timer = Some(Box::pin(sleep_until(instant))),
                        }
                    }
                }
                let Some(timer) = self.own_timer else { return Poll::Pending };
                // Out of its task's budget a timer would be pending without being registered, and the
                // next park relies on its being registered.
                if pin!(unconstrained(timer.as_mut())).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // This deadline passed since the clock was read.
                *self.armed = UNARMED;
                now = self.supervision.now();
                continue;
            }
            match action {
                Action::Close(expired) => {
                    if expired == Expired::Heartbeat {
                        self.supervision.stats.heartbeats_missed.add(1);
                    }
                    return Poll::Ready(expired);
                }
                Action::Ping => {
                    self.timers.ping_sent(now.active);
                    let timeout = deadlines.heartbeat_timeout.as_nanos() as u64;
                    *self.pong_until = Nanos(now.active.0.saturating_add(timeout));
                    self.supervision.stats.heartbeats_sent.add(1);
                    // A stream that fails here fails at the next read too, which says why.
                    if self.inner.as_mut().start_send(self.supervision.words.batch()).is_ok() {
                        let _ = self.inner.as_mut().poll_flush(cx);
                    }
                    *buffered = self.inner.as_mut().park();
                    self.timers.observe(
                        now.active,
                        observation(false, buffered, phase),
                        self.unread,
                    );
                }
            }
        }
    }
}

impl<T> Sealed for HeartbeatTransport<T> {}

impl<T: Transport> Transport for HeartbeatTransport<T> {
    type Protocol = T::Protocol;

    #[inline]
    fn poll_batch(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Batch<T::Protocol>, LineError>>> {
        let mut this = self.project();
        loop {
            let batch = match ready!(this.inner.as_mut().poll_batch(cx)) {
                Some(Ok(batch)) => batch,
                ended => return Poll::Ready(ended),
            };
            let rest = this.receive(batch);
            if !rest.as_bytes().is_empty() {
                return Poll::Ready(Some(Ok(rest)));
            }
        }
    }

    #[inline]
    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }

    #[inline]
    fn take_paused(self: Pin<&mut Self>) -> bool {
        self.project().inner.take_paused()
    }

    #[inline]
    fn unsent_bytes(&self) -> usize {
        self.inner.unsent_bytes()
    }

    fn poll_push(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, LineError>> {
        self.project().inner.poll_push(cx, bytes)
    }

    fn set_inside_push(self: Pin<&mut Self>, inside: bool) {
        self.project().inner.set_inside_push(inside);
    }

    #[inline]
    fn is_inside_push(&self) -> bool {
        self.inner.is_inside_push()
    }

    fn poll_start_tls(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        tls: &dyn StartTls,
    ) -> Poll<io::Result<Option<Fact>>> {
        self.project().inner.poll_start_tls(cx, tls)
    }

    fn reframe(self: Pin<&mut Self>, rest: &[u8], raw: bool) {
        self.project().inner.reframe(rest, raw);
    }

    #[inline]
    fn take_full_read(self: Pin<&mut Self>) -> bool {
        self.project().inner.take_full_read()
    }

    fn next_buffered(self: Pin<&mut Self>) -> Option<Result<Batch<T::Protocol>, LineError>> {
        let mut this = self.project();
        loop {
            let rest = match this.inner.as_mut().next_buffered()? {
                Ok(batch) => this.receive(batch),
                Err(error) => return Some(Err(error)),
            };
            if !rest.as_bytes().is_empty() {
                return Some(Ok(rest));
            }
        }
    }

    fn set_frame_max(self: Pin<&mut Self>, bytes: usize) {
        self.project().inner.set_frame_max(bytes);
    }

    #[inline]
    fn park(self: Pin<&mut Self>) -> BufferedBytes {
        let this = self.project();
        let buffered = this.inner.park();
        // A connection that yields parks without checking its deadlines.
        *this.written_bytes = this.written_bytes.saturating_add(buffered.written_bytes);
        buffered
    }

    fn drop_buffers(self: Pin<&mut Self>) {
        self.project().inner.drop_buffers();
    }

    #[inline]
    fn poll_expired(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parked: Parked,
        wake: &mut WakeEntry<'_>,
        buffered: &mut BufferedBytes,
    ) -> Poll<Expired> {
        let this = self.project();
        let now = this.supervision.at(parked.now);
        let mut observation =
            observation(std::mem::take(this.line_received), buffered, parked.phase);
        observation.written_bytes = std::mem::take(this.written_bytes);
        let rearm = this.timers.observe(now.active, observation, this.unread);
        if rearm == Rearm::Answered {
            // The timer waits for an answer that has come. Putting it off costs less than waking for
            // nothing.
            *this.armed = UNARMED;
        }
        let version = this.supervision.version();
        let same_deadlines = *this.version == version;
        // The common park: the timer that is armed, for this task, will fire soon enough.
        let nothing_new = parked.same_task && same_deadlines && rearm == Rearm::Keep;
        if nothing_new && *this.armed != UNARMED && parked.now < *this.armed {
            return Poll::Pending;
        }
        *this.version = version;
        if !same_deadlines {
            // It may have fired already, for a deadline that is further away now.
            *this.armed = UNARMED;
        }
        if !same_deadlines && this.supervision.deadlines().heartbeat_interval.is_none() {
            // Otherwise the peer would have to answer it when pings are turned on again.
            this.timers.clear_ping();
        }
        this.poll_deadlines(cx, now, parked.phase, wake, buffered)
    }

    fn poll_peer_end(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<PeerEnd>> {
        self.project().inner.poll_peer_end(cx, bytes_max)
    }

    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.project().inner.poll_discard(cx)
    }
}
