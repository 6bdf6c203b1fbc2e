//! Counts as plain data. Exporting them is somebody else's job.
//!
//! One [`Stats`] a shard: the connections of a shard write it, a scraper on another thread reads
//! it. Writers add with relaxed atomics on memory that no other shard touches; nothing here reads a
//! clock, allocates, or grows.

mod counter;
mod histogram;
mod presence;
mod states;

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

use tokio::time::Instant;

pub use counter::{Counter, Gauge};
pub use histogram::{Histogram, HistogramSnapshot};
pub use presence::Presence;
pub use states::{CloseReason, State, StateCells, StateSnapshot};

/// How the lines of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineResult {
    /// A reply was made.
    Ok,
    /// The line stack's timeout passed.
    Timeout,
    /// The concurrency limit was reached and overload is shed.
    Shed,
    /// The service failed.
    Error,
}

impl LineResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Timeout, Self::Shed, Self::Error];

    /// The label under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Shed => "shed",
            Self::Error => "error",
        }
    }
}

/// A point in time as nanoseconds since a [`Stats`] began; wraps after 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

/// Everything counted on one shard.
#[derive(Debug)]
#[repr(align(128))]
pub struct Stats {
    epoch: Instant,
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
    /// From a batch's arrival in the line stack to its reply.
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
    /// Bytes of unfinished lines held while connections are parked.
    pub read_buffer_bytes: Gauge,
    /// Bytes of unsent replies held while connections are parked.
    pub write_buffer_bytes: Gauge,
}

thread_local! {
    /// The last look at the clock of the connection that runs on this thread.
    static RECENT: Cell<Option<Nanos>> = const { Cell::new(None) };
}

impl Stats {
    /// All at zero; time counts from `epoch`.
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            states: StateCells::default(),
            read_bytes: Counter::default(),
            written_bytes: Counter::default(),
            lines_received: Counter::default(),
            lines_processed: Default::default(),
            batches: Counter::default(),
            batch_duration: Histogram::default(),
            heartbeats_sent: Counter::default(),
            heartbeats_missed: Counter::default(),
            hashed_bytes: Counter::default(),
            hash_nanos: Counter::default(),
            unterminated_lines: Counter::default(),
            read_buffer_bytes: Gauge::default(),
            write_buffer_bytes: Gauge::default(),
        }
    }

    /// Shared by everything that nobody asked to count, so that the counting code has no branches.
    pub fn unobserved() -> Arc<Self> {
        static UNOBSERVED: OnceLock<Arc<Stats>> = OnceLock::new();
        UNOBSERVED.get_or_init(|| Arc::new(Self::new(Instant::now()))).clone()
    }

    /// Reads the clock (20 to 40 ns).
    pub fn now(&self) -> Nanos {
        self.at(Instant::now())
    }

    /// When this thread's running connection looked at the clock last, or now if none runs.
    ///
    /// Within one poll the last look is microseconds old, and a look costs as much as the rest of
    /// the counting.
    pub(crate) fn recent(&self) -> Nanos {
        match RECENT.get() {
            Some(recent) => recent,
            None => self.now(),
        }
    }

    /// Reads the clock, and keeps it for [`recent`](Self::recent) until the connection parks.
    pub(crate) fn now_while_running(&self) -> Nanos {
        let now = self.now();
        if RECENT.get().is_some() {
            RECENT.set(Some(now));
        }
        now
    }

    /// A point in time in these stats' own scale; times before their beginning are their beginning.
    pub fn at(&self, time: Instant) -> Nanos {
        Nanos(time.saturating_duration_since(self.epoch).as_nanos() as u64)
    }

    /// The other way round, for timers.
    pub fn instant(&self, time: Nanos) -> Instant {
        self.epoch + std::time::Duration::from_nanos(time.0)
    }
}
