//! Metrics as plain data, for an exporter to publish.
//!
//! One [`Stats`] a shard: the connections of a shard write it, an exporter on another thread reads it.
//! Writers add to memory that no other shard writes; nothing here allocates or grows.

mod bounds;
mod commands;
pub(crate) mod connection;
pub(crate) mod counter;
mod histogram;
pub(crate) mod holders;
mod labels;
mod line_results;
mod pushes;
mod scheduling;
mod sequence;
mod states;

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

pub use bounds::{Bounds, COARSE, FINE, LIFETIME};
pub use commands::{CommandSnapshot, CommandStats};
pub(crate) use commands::{CountedCommand, PendingCommand};
pub(crate) use connection::ConnectionEntry;
use counter::Writers;
pub use counter::{Counter, Gauge};
pub use histogram::{Histogram, HistogramSnapshot};
use holders::Holders;
pub use labels::{CloseReason, CommandResult, LineResult, State};
pub use pushes::{PushSnapshot, PushStats};
pub use scheduling::SchedulingDelay;
pub use states::{StateCells, StateSnapshot};

pub use crate::clock::{Clock, Nanos};
use crate::thread_context::{CLOCK, ThreadClock};

pub(crate) use self::line_results::LineResults;

/// Everything that is counted on one shard. Any thread may read it; connections and layers write it.
///
/// ```
/// use tokio::time::Instant;
/// use towline_middleware::stats::{State, Stats};
///
/// let stats = Stats::new(Instant::now());
/// let states = stats.states.snapshot();
/// assert_eq!((states.accepted, states.connections[State::Idle as usize]), (0, 0));
/// assert_eq!(stats.lines_received.get(), 0);
/// ```
#[derive(Debug)]
#[repr(align(128))]
pub struct Stats {
    clock: Clock,
    writers: Writers,
    /// Connections by state, exact to the nanosecond.
    pub states: StateCells,
    /// Bytes read from sockets.
    pub read_bytes: Counter,
    /// Bytes written to sockets.
    pub written_bytes: Counter,
    /// Complete lines decoded and offered to the line stack.
    pub lines_received: Counter,
    /// Lines by how they ended, indexed by [`LineResult`].
    pub lines_processed: [Counter; LineResult::ALL.len()],
    /// Batches offered to the line stack.
    pub batches: Counter,
    /// Time from a batch's arrival to its reply. Both ends are clock readings that the connection's task
    /// takes anyway, so the read before and mostly the write after are part of it.
    pub batch_duration: Histogram,
    /// How long connections were open that have ended; with the bounds [`LIFETIME`].
    pub connection_duration: Histogram,
    /// How long something that is ready waits until this shard runs it. Filled by a probe on the shard.
    pub scheduling_delay: SchedulingDelay,
    /// Pings sent.
    pub heartbeats_sent: Counter,
    /// Pings that were not answered in time.
    pub heartbeats_missed: Counter,
    /// Bytes through SHA-256.
    pub hashed_bytes: Counter,
    /// Time spent hashing.
    pub hash_nanos: Counter,
    /// Times that the clock of suspensions was sampled on this shard, four per second while it runs.
    pub ticks: Counter,
    /// Connections that ended in the middle of a line.
    pub unterminated_lines: Counter,
    /// Connections that we closed and that wait for the peer's close.
    pub lingering: Gauge,
    /// Bytes of unfinished lines held while connections are parked.
    pub read_buffer_bytes: Gauge,
    /// Bytes of unsent replies held while connections are parked.
    pub write_buffer_bytes: Gauge,
    /// Connections that hold much of those bytes.
    pub(crate) holders: Holders,
    /// Set when a router counts here.
    commands: OnceLock<Arc<CommandStats>>,
    /// Bytes of messages that were pushed and wait, each once however many connections wait for it.
    pub(crate) push_bytes: Gauge,
    /// Set where connections can be pushed to.
    pushes: OnceLock<Arc<PushStats>>,
}

impl Stats {
    /// All at zero. Time counts from an epoch: an `Instant`, by tokio's clock. Any number of threads may
    /// write.
    pub fn new(clock: impl Into<Clock>) -> Self {
        Self::with_writers(clock.into(), Writers::Many)
    }

    /// Like [`new`](Self::new), for the connections of one thread, which count at half the cost. Where other
    /// threads write too, counts are lost.
    pub fn of_one_thread(clock: impl Into<Clock>) -> Self {
        Self::with_writers(clock.into(), Writers::One)
    }

    /// A clock and the gauges of buffered bytes, which
    /// [`set_buffered_bytes_max`](crate::serve::ConnectionConfig::set_buffered_bytes_max) needs; all else
    /// stays at zero. For connections whose numbers are not exported: threads that serve them write no
    /// memory in common, unless a connection holds bytes while it waits and that limit is set.
    pub fn uncounted(clock: impl Into<Clock>) -> Self {
        Self::with_writers(clock.into(), Writers::None)
    }

    fn with_writers(clock: Clock, writers: Writers) -> Self {
        let counter = || Counter::new(writers);
        Self {
            clock,
            writers,
            states: StateCells::new(writers),
            read_bytes: counter(),
            written_bytes: counter(),
            lines_received: counter(),
            lines_processed: std::array::from_fn(|_| counter()),
            batches: counter(),
            batch_duration: Histogram::new(&FINE, writers),
            connection_duration: Histogram::new(&LIFETIME, writers),
            scheduling_delay: SchedulingDelay::new(),
            heartbeats_sent: counter(),
            heartbeats_missed: counter(),
            hashed_bytes: counter(),
            hash_nanos: counter(),
            ticks: counter(),
            unterminated_lines: counter(),
            lingering: Gauge::default(),
            read_buffer_bytes: Gauge::default(),
            write_buffer_bytes: Gauge::default(),
            holders: Holders::default(),
            commands: OnceLock::new(),
            push_bytes: Gauge::default(),
            pushes: OnceLock::new(),
        }
    }

    /// One that is [`uncounted`](Self::uncounted), shared by everything that was given none.
    pub fn unobserved() -> Arc<Self> {
        static UNOBSERVED: OnceLock<Arc<Stats>> = OnceLock::new();
        UNOBSERVED.get_or_init(|| Arc::new(Self::uncounted(Instant::now()))).clone()
    }

    /// Whether anything is counted here; `false` for [`uncounted`](Self::uncounted).
    #[inline]
    pub(crate) fn is_counted(&self) -> bool {
        self.writers != Writers::None
    }

    /// The commands of the router that [counts here](crate::router::Routes::counted_by), if there is one.
    pub fn commands(&self) -> Option<&CommandStats> {
        self.commands.get().map(|commands| &**commands)
    }

    /// Where `commands` are counted. `None` if nothing is counted here, or other commands are.
    pub(crate) fn count_commands(&self, commands: &[CountedCommand]) -> Option<Arc<CommandStats>> {
        if !self.is_counted() {
            return None;
        }
        let new = || Arc::new(CommandStats::new(commands, self.clock, self.writers));
        let counted = self.commands.get_or_init(new);
        counted.are(commands).then(|| counted.clone())
    }

    /// Counts for pushes, which are exported when they are [set](Self::set_pushes).
    pub(crate) fn new_pushes(&self) -> Arc<PushStats> {
        Arc::new(PushStats::new(self.writers))
    }

    /// Exports what is counted of pushes, unless others are exported already.
    pub(crate) fn set_pushes(&self, pushes: &Arc<PushStats>) {
        let _ = self.pushes.set(pushes.clone());
    }

    /// What was pushed, if connections here can be pushed to.
    pub fn pushes(&self) -> Option<PushSnapshot> {
        self.pushes.get().map(|pushes| pushes.snapshot(self.push_bytes.get()))
    }

    /// Bytes that connections hold: of unfinished lines, of batches being served, of unsent replies, and of
    /// messages that were pushed.
    pub fn buffered_bytes(&self) -> usize {
        let replies = self.read_buffer_bytes.get() + self.write_buffer_bytes.get();
        let held = replies + self.push_bytes.get();
        // While other threads write, the sum may be below zero for a moment.
        usize::try_from(held).unwrap_or(0)
    }

    /// The clock.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Bytes of unfinished lines and unsent replies, which clients hold: those that
    /// [`evict_above`](Self::evict_above) can free. Connections with 128 bytes or fewer are not counted.
    pub fn held_bytes(&self) -> usize {
        self.holders.bytes()
    }

    /// Connections that were told to close because they held buffers.
    pub fn evicted(&self) -> u64 {
        self.holders.evicted()
    }

    /// Closes connections that hold an unfinished line or unsent replies, as
    /// [`CloseReason::Overload`], while all buffers together are above `bytes_max`: those that hold the
    /// most first, by power of two, then those that have held it longest. Where clients hold less than an
    /// eighth of it, batches in service take the rest, and none is closed for them.
    ///
    /// Connections do the same when they park, by
    /// [`ConnectionConfig::set_eviction_bytes`](crate::serve::ConnectionConfig::set_eviction_bytes).
    /// *Costs*: a lock, and a wake-up for each connection that is closed.
    pub fn evict_above(&self, bytes_max: usize) {
        let buffered_bytes = self.buffered_bytes();
        if buffered_bytes > bytes_max {
            self.holders.evict(buffered_bytes, bytes_max);
        }
    }

    /// Whether connections buffer more than `bytes_max`, and some were woken to close and have not run yet.
    #[inline]
    pub(crate) fn is_evicting_above(&self, bytes_max: usize) -> bool {
        self.buffered_bytes() > bytes_max && self.holders.leaving_bytes() > 0
    }

    /// Reads the clock (20 to 40 ns).
    #[inline]
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// The last clock reading of a connection on this thread; reads the clock if that is not recent.
    #[inline]
    pub(crate) fn recent(&self) -> Nanos {
        CLOCK.with(ThreadClock::recent).unwrap_or_else(|| self.now())
    }

    /// The beginning of a batch that comes now. If another was answered since the last clock reading, its
    /// end is this one's beginning.
    #[inline]
    pub(crate) fn begin_batch(&self) -> Nanos {
        let replied = CLOCK.with(ThreadClock::take_replied);
        let Some(begun) = replied else { return self.recent() };
        let now = self.now();
        CLOCK.with(|clock| clock.set(now));
        self.record_batch(begun, now);
        now
    }

    /// Records that a batch that began at `begun` is answered. The next clock reading of the running
    /// connection ends it.
    #[inline]
    pub(crate) fn reply_batch(&self, begun: Nanos) {
        if !CLOCK.with(|clock| clock.set_replied(begun)) {
            self.record_batch(begun, self.now());
        }
    }

    /// Ends the answered batch, if there is one, at `now`, which is called only then.
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

    /// Converts to this clock; times before its epoch become the epoch.
    pub fn at(&self, time: Instant) -> Nanos {
        self.clock.at(time)
    }

    /// Converts from this clock, for timers.
    pub fn instant(&self, time: Nanos) -> Instant {
        self.clock.instant(time)
    }
}
