//! Counts as plain data. Exporting them is somebody else's job.
//!
//! One [`Stats`] a shard: the connections of a shard write it, a scraper on another thread reads
//! it. Writers add to memory that no other shard touches; nothing here allocates or grows.

mod connection;
mod counter;
mod histogram;
mod labels;
mod states;

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

pub use connection::ConnectionStats;
pub use counter::{Counter, Gauge, Writers};
pub use histogram::{Histogram, HistogramSnapshot};
pub use labels::{CloseReason, LineResult, State};
pub use states::{StateCells, StateSnapshot};

pub use crate::clock::{Clock, Nanos};
use crate::thread_context::{CLOCK, ThreadClock};

/// Everything counted on one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct Stats {
    clock: Clock,
    /// Connections by state, exact to the nanosecond.
    pub states: StateCells,
    /// Bytes taken from sockets.
    pub read_bytes: Counter,
    /// Bytes sockets took from us.
    pub written_bytes: Counter,
    /// Complete lines decoded and offered to the line stack.
    pub lines_received: Counter,
    /// Lines by how they ended, indexed by [`LineResult`].
    pub lines_processed: [Counter; LineResult::ALL.len()],
    /// Batches offered to the line stack.
    pub batches: Counter,
    /// From a batch's arrival to its reply. Both are looks at the clock of the connection's task that
    /// are taken anyway, so the read before and mostly the write after are part of it.
    pub batch_duration: Histogram,
    /// Pings sent.
    pub heartbeats_sent: Counter,
    /// Pings that no line answered in time.
    pub heartbeats_missed: Counter,
    /// Bytes through SHA-256.
    pub hashed_bytes: Counter,
    /// Time spent hashing.
    pub hash_nanos: Counter,
    /// Connections that ended in the middle of a line.
    pub unterminated_lines: Counter,
    /// Connections that were closed on our side and wait for the peer's close.
    pub lingering: Gauge,
    /// Bytes of unfinished lines held while connections are parked.
    pub read_buffer_bytes: Gauge,
    /// Bytes of unsent replies held while connections are parked.
    pub write_buffer_bytes: Gauge,
}

impl Stats {
    /// All at zero; time counts from an epoch, by tokio's clock unless told otherwise. Any number of
    /// threads may count.
    pub fn new(clock: impl Into<Clock>) -> Self {
        Self::with_writers(clock.into(), Writers::Many)
    }

    /// For the connections of one thread, which count at half the cost.
    pub fn of_one_thread(clock: impl Into<Clock>) -> Self {
        Self::with_writers(clock.into(), Writers::One)
    }

    fn with_writers(clock: Clock, writers: Writers) -> Self {
        let counter = || Counter::new(writers);
        Self {
            clock,
            states: StateCells::new(writers),
            read_bytes: counter(),
            written_bytes: counter(),
            lines_received: counter(),
            lines_processed: std::array::from_fn(|_| counter()),
            batches: counter(),
            batch_duration: Histogram::new(writers),
            heartbeats_sent: counter(),
            heartbeats_missed: counter(),
            hashed_bytes: counter(),
            hash_nanos: counter(),
            unterminated_lines: counter(),
            lingering: Gauge::default(),
            read_buffer_bytes: Gauge::default(),
            write_buffer_bytes: Gauge::default(),
        }
    }

    /// Shared by everything that nobody asked to count, so that the counting code has no branches.
    pub fn unobserved() -> Arc<Self> {
        static UNOBSERVED: OnceLock<Arc<Stats>> = OnceLock::new();
        UNOBSERVED.get_or_init(|| Arc::new(Self::new(Instant::now()))).clone()
    }

    /// Bytes that connections hold: of unfinished lines, of batches being served, of unsent replies.
    pub fn buffered_bytes(&self) -> usize {
        let held = self.read_buffer_bytes.get() + self.write_buffer_bytes.get();
        // Read while others write, the sum may be short of nothing for a moment.
        usize::try_from(held).unwrap_or(0)
    }

    /// Reads the clock (20 to 40 ns).
    #[inline]
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// When a connection on this thread looked at the clock last, or now if that is not recent.
    #[inline]
    pub(crate) fn recent(&self) -> Nanos {
        CLOCK.with(ThreadClock::recent).unwrap_or_else(|| self.now())
    }

    /// When a batch begins that comes now. Another may have been answered since the last look: its end
    /// is this one's beginning.
    #[inline]
    pub(crate) fn begin_batch(&self) -> Nanos {
        let replied = CLOCK.with(ThreadClock::take_replied);
        let Some(begun) = replied else { return self.recent() };
        let now = self.now();
        CLOCK.with(|clock| clock.set(now));
        self.record_batch(begun, now);
        now
    }

    /// A batch that began at `begun` is answered. A connection that runs leaves it to its next look at
    /// the clock to tell when.
    #[inline]
    pub(crate) fn reply_batch(&self, begun: Nanos) {
        if !CLOCK.with(|clock| clock.set_replied(begun)) {
            self.record_batch(begun, self.now());
        }
    }

    /// The running connection stops running at `now`, which is asked for only if a batch waits for it.
    #[inline]
    fn end_batch(&self, now: impl FnOnce() -> Nanos) {
        if let Some(begun) = CLOCK.with(ThreadClock::take_replied) {
            self.record_batch(begun, now());
        }
    }

    #[inline]
    fn record_batch(&self, begun: Nanos, ended: Nanos) {
        self.batch_duration.record(ended.0.saturating_sub(begun.0));
    }

    /// A point in time in these stats' own scale; times before their beginning are their beginning.
    pub fn at(&self, time: Instant) -> Nanos {
        self.clock.at(time)
    }

    /// The other way round, for timers.
    pub fn instant(&self, time: Nanos) -> Instant {
        self.clock.instant(time)
    }
}
