use std::{fmt, sync::Arc, thread};

use super::{CloseReason, Nanos, State, Stats};
use crate::thread_context::{CLOCK, ThreadClock};

/// One connection's entry in the metrics: counted as open when made, as closed once when dropped.
///
/// A connection dropped without [`close`](Self::close) was cut: by a panic of its service, or because its
/// task was dropped.
pub struct ConnectionStats {
    stats: Arc<Stats>,
    state: State,
    closed: bool,
    /// Why it was closed, once it only waits for the peer's close.
    lingering: Option<CloseReason>,
    /// Buffered bytes as the gauges have them.
    read_buffer_bytes: u32,
    write_buffer_bytes: u32,
}

impl ConnectionStats {
    /// Counts a connection as open and runnable.
    pub fn new(stats: Arc<Stats>) -> Self {
        stats.states.open(State::Ready, stats.now());
        Self {
            stats,
            state: State::Ready,
            closed: false,
            lingering: None,
            read_buffer_bytes: 0,
            write_buffer_bytes: 0,
        }
    }

    /// The metrics in which it counts, shared with other connections.
    pub fn shared(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Marks the connection runnable. Uses the thread's cached time if that is recent, else reads the
    /// clock.
    #[inline]
    pub fn resume(&mut self) {
        if self.state != State::Ready {
            let now = self.stats.recent();
            CLOCK.with(|clock| clock.set(now));
            self.change(State::Ready, now);
        }
    }

    /// Marks the connection parked in `state`.
    #[inline]
    pub fn park(&mut self, state: State, now: Nanos) {
        self.stats.end_batch(|| now);
        CLOCK.with(|clock| clock.park(now));
        self.change(state, now);
    }

    /// Records that the task lets others run; the connection stays runnable.
    pub fn yield_thread(&mut self) {
        self.stats.end_batch(|| self.stats.now());
        CLOCK.with(ThreadClock::invalidate);
    }

    /// Updates the gauges of buffered bytes.
    #[inline]
    pub fn set_buffered(&mut self, read_bytes: usize, write_bytes: usize) {
        update_gauge(&self.stats.read_buffer_bytes, &mut self.read_buffer_bytes, read_bytes);
        update_gauge(&self.stats.write_buffer_bytes, &mut self.write_buffer_bytes, write_bytes);
    }

    /// Bytes that all connections buffer, if this one has `unsent_bytes` now. The gauges have of it what it
    /// buffered when it parked.
    pub(crate) fn buffered_by_all(&self, unsent_bytes: usize) -> usize {
        let others_bytes =
            self.stats.buffered_bytes().saturating_sub(self.write_buffer_bytes as usize);
        others_bytes.saturating_add(unsent_bytes)
    }

    /// Records that everything is sent and closed, and that only the peer's close is waited for. From now on
    /// a cut connection counts as ended for `reason`: the peer loses nothing.
    pub(crate) fn linger(&mut self, reason: CloseReason) {
        if self.lingering.replace(reason).is_none() {
            self.stats.lingering.add(1);
        }
    }

    /// Counts the connection as ended for `reason`. Later calls do nothing.
    pub fn close(&mut self, reason: CloseReason) {
        if !self.closed {
            let now = self.stats.now();
            self.stats.end_batch(|| now);
            CLOCK.with(ThreadClock::invalidate);
            self.closed = true;
            self.set_buffered(0, 0);
            if self.lingering.is_some() {
                self.stats.lingering.add(-1);
            }
            self.stats.states.close(self.state, reason, now);
        }
    }

    #[inline]
    fn change(&mut self, state: State, now: Nanos) {
        if self.state != state {
            self.stats.states.change(self.state, state, now);
            self.state = state;
        }
    }
}

#[inline]
fn update_gauge(gauge: &super::Gauge, reported: &mut u32, bytes: usize) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    if *reported != bytes {
        gauge.add(i64::from(bytes) - i64::from(*reported));
        *reported = bytes;
    }
}

impl Drop for ConnectionStats {
    fn drop(&mut self) {
        self.close(match self.lingering {
            _ if thread::panicking() => CloseReason::ServicePanic,
            Some(reason) => reason,
            None => CloseReason::Shutdown,
        });
    }
}

impl fmt::Debug for ConnectionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionStats").field("state", &self.state).finish_non_exhaustive()
    }
}
