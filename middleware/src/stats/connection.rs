use std::{fmt, sync::Arc, task::Waker, thread};

use super::{
    CloseReason, Nanos, State, Stats,
    holders::{HOLDER_BYTES_MIN, HolderId},
};
use crate::thread_context::{CLOCK, ThreadClock};

/// One connection's entry in the metrics, without a pointer to them: each method takes the [`Stats`] in
/// which it was opened.
#[derive(Debug)]
pub(crate) struct ConnectionEntry {
    state: State,
    /// Why it was closed.
    closed: Option<CloseReason>,
    /// Why it was closed, once it only waits for the peer's close.
    lingering: Option<CloseReason>,
    /// Buffered bytes as the gauges have them.
    read_buffer_bytes: u32,
    write_buffer_bytes: u32,
    /// Whether it is among the holders.
    holds: bool,
}

impl ConnectionEntry {
    /// Counts a connection as open and runnable.
    pub(crate) fn open(stats: &Stats) -> Self {
        if stats.is_counted() {
            stats.states.open(State::Ready, stats.now());
        }
        Self {
            state: State::Ready,
            closed: None,
            lingering: None,
            read_buffer_bytes: 0,
            write_buffer_bytes: 0,
            holds: false,
        }
    }

    /// Marks the connection runnable, and returns the time if it was parked and is counted. Uses the
    /// thread's cached time if that is recent, else reads the clock.
    #[inline]
    pub(crate) fn resume(&mut self, stats: &Stats) -> Option<Nanos> {
        if self.state == State::Ready || !stats.is_counted() {
            return None;
        }
        let now = stats.recent();
        CLOCK.with(|clock| clock.set(now));
        self.change(stats, State::Ready, now);
        Some(now)
    }

    /// Marks the connection parked in `state`.
    #[inline]
    pub(crate) fn park(&mut self, stats: &Stats, state: State, now: Nanos) {
        if stats.is_counted() {
            stats.end_batch(|| now);
            CLOCK.with(|clock| clock.park(now));
            self.change(stats, state, now);
        }
    }

    /// Records that the task lets others run; the connection stays runnable.
    pub(crate) fn yield_thread(&self, stats: &Stats) {
        debug_assert!(self.closed.is_none());
        stats.end_batch(|| stats.now());
        CLOCK.with(ThreadClock::invalidate);
    }

    /// Updates the gauges of buffered bytes, if they are exported or there is a limit to them.
    #[inline]
    pub(crate) fn set_buffered(
        &mut self,
        stats: &Stats,
        read_bytes: usize,
        write_bytes: usize,
        limited: impl FnOnce() -> bool,
    ) {
        let reported =
            [self.read_buffer_bytes, self.write_buffer_bytes].map(|bytes| bytes as usize);
        if reported != [read_bytes, write_bytes]
            && (stats.is_counted() || reported != [0; 2] || limited())
        {
            self.update_gauges(stats, read_bytes, write_bytes);
        }
    }

    #[inline]
    fn update_gauges(&mut self, stats: &Stats, read_bytes: usize, write_bytes: usize) {
        update_gauge(&stats.read_buffer_bytes, &mut self.read_buffer_bytes, read_bytes);
        update_gauge(&stats.write_buffer_bytes, &mut self.write_buffer_bytes, write_bytes);
    }

    /// Records what this connection's client holds, an unfinished line and unsent replies, when the task
    /// parks. Returns whether the connection must close to free it.
    ///
    /// `eviction_bytes` is what all connections may buffer before those that hold the most are woken to close. If
    /// the others alone buffer more, because they have not closed yet, and this connection holds as much as any of
    /// them, it closes at once. The gauges of this connection must be up to date. It must not move any more: its
    /// address is its key among the holders, because a key of its own would take eight bytes of every connection.
    #[inline]
    pub(crate) fn hold(
        &mut self,
        stats: &Stats,
        held_bytes: usize,
        waker: &Waker,
        eviction_bytes: impl FnOnce() -> usize,
    ) -> bool {
        // What is in service counts as well, so a connection that holds nothing may have to make room.
        let small =
            self.read_buffer_bytes as usize + self.write_buffer_bytes as usize <= HOLDER_BYTES_MIN;
        if small && !self.holds {
            return false;
        }
        self.hold_much(stats, held_bytes, waker, eviction_bytes())
    }

    #[cold]
    fn hold_much(
        &mut self,
        stats: &Stats,
        held_bytes: usize,
        waker: &Waker,
        eviction_bytes: usize,
    ) -> bool {
        if held_bytes <= HOLDER_BYTES_MIN {
            self.release(stats);
        } else if self.holds || eviction_bytes != usize::MAX {
            self.holds = true;
            let bytes = u32::try_from(held_bytes).unwrap_or(u32::MAX);
            if stats.holders.update(self.id(), bytes, waker) {
                return true;
            }
        }
        stats.evict_above(eviction_bytes);
        // Connections that are woken to close free their memory when they run, and hundreds may run before them.
        self.buffered_by_others(stats) > eviction_bytes && stats.holders.evict_itself(self.id())
    }

    /// Records that this connection buffers nothing any more.
    pub(crate) fn release_buffers(&mut self, stats: &Stats) {
        self.update_gauges(stats, 0, 0);
        self.release(stats);
    }

    /// Records that this connection's client holds nothing.
    fn release(&mut self, stats: &Stats) {
        if self.holds {
            stats.holders.remove(self.id());
            self.holds = false;
        }
    }

    fn id(&self) -> HolderId {
        HolderId(std::ptr::from_ref(self) as usize)
    }

    /// Bytes that all connections buffer, if this one has `unsent_bytes` now. The gauges have of it what it
    /// buffered when it parked.
    pub(crate) fn buffered_by_all(&self, stats: &Stats, unsent_bytes: usize) -> usize {
        let others_bytes = stats.buffered_bytes().saturating_sub(self.write_buffer_bytes as usize);
        others_bytes.saturating_add(unsent_bytes)
    }

    /// Bytes that all other connections buffer. The gauges of this one must be up to date.
    fn buffered_by_others(&self, stats: &Stats) -> usize {
        let own = self.read_buffer_bytes as usize + self.write_buffer_bytes as usize;
        stats.buffered_bytes().saturating_sub(own)
    }

    /// Records that everything is sent and closed, and that only the peer's close is waited for. From now on
    /// a cut connection counts as ended for `reason`: the peer loses nothing.
    pub(crate) fn linger(&mut self, stats: &Stats, reason: CloseReason) {
        if self.lingering.replace(reason).is_none() {
            stats.lingering.add(1);
        }
    }

    /// Counts the connection, which was opened at `opened`, as ended for `reason`. Later calls do nothing.
    pub(crate) fn close(
        &mut self,
        stats: &Stats,
        reason: CloseReason,
        opened: impl FnOnce() -> Option<Nanos>,
    ) {
        if self.closed.is_none() {
            let now = stats.now();
            stats.end_batch(|| now);
            CLOCK.with(ThreadClock::invalidate);
            self.closed = Some(reason);
            self.release_buffers(stats);
            if self.lingering.is_some() {
                stats.lingering.add(-1);
            }
            stats.states.close(self.state, reason, now);
            let opened = opened().unwrap_or(now);
            stats.connection_duration.record(now.0.saturating_sub(opened.0));
        }
    }

    /// Counts a connection that is dropped as cut, unless it was closed before: by a panic of its
    /// service, or because its task was dropped. Returns why it ended.
    pub(crate) fn cut(
        &mut self,
        stats: &Stats,
        opened: impl FnOnce() -> Option<Nanos>,
    ) -> CloseReason {
        let reason = match (self.closed, self.lingering) {
            (Some(reason), _) => return reason,
            _ if thread::panicking() => CloseReason::ServicePanic,
            (None, Some(reason)) => reason,
            (None, None) => CloseReason::Shutdown,
        };
        self.close(stats, reason, opened);
        reason
    }

    #[inline]
    fn change(&mut self, stats: &Stats, state: State, now: Nanos) {
        if self.state != state {
            stats.states.change(self.state, state, now);
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

/// A connection in the metrics that is not served: counted as open when made, as closed once when
/// dropped.
pub struct ConnectionStats {
    stats: Arc<Stats>,
    entry: ConnectionEntry,
    opened: Nanos,
}

impl ConnectionStats {
    /// Counts a connection as open and runnable.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self { entry: ConnectionEntry::open(&stats), opened: stats.now(), stats }
    }

    /// Counts the connection as ended for `reason`. Later calls do nothing.
    pub fn close(&mut self, reason: CloseReason) {
        self.entry.close(&self.stats, reason, || Some(self.opened));
    }
}

impl Drop for ConnectionStats {
    fn drop(&mut self) {
        self.entry.cut(&self.stats, || Some(self.opened));
    }
}

impl fmt::Debug for ConnectionStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionStats").field("entry", &self.entry).finish_non_exhaustive()
    }
}
