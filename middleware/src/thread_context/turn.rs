use std::cell::Cell;

use crate::clock::Nanos;

/// The work of the connection that runs on this thread, since it was polled.
///
/// What a batch costs depends on the service, so time is the measure. A clock read costs one percent of a
/// line in ping-pong, so the clock is read only where work adds up: for a batch of some size, and from the
/// fourth batch of a turn on.
pub(crate) struct Turn {
    begun: Cell<Nanos>,
    batches: Cell<u32>,
    full_reads: Cell<u32>,
    /// A batch of this turn took long enough for the clock to be read behind it.
    large: Cell<bool>,
    /// When a connection ran last that does not flood.
    polite: Cell<Nanos>,
}

/// No reading.
const NONE: Nanos = Nanos(u64::MAX);

/// A turn ends behind the batch that exceeds this: the service of a full block takes a quarter of it, if
/// it does not look at each line.
const TURN_NANOS: u64 = 250_000;

/// A turn that served a large batch, or many, and took this long was a flood's: its connection queues when
/// it wakes next. Time alone does not tell: the thread may have lost its processor.
const FLOOD_NANOS: u64 = 25_000;

/// Batches of a turn behind which the clock is not read.
const BATCHES_UNMEASURED: u32 = 3;

/// The smallest batches behind which it is read.
const LARGE_BYTES: usize = 8 * 1024;
const LARGE_LINES: usize = 256;

/// Full reads of a turn while only floods run.
const FULL_READS_MAX: u32 = 8;

/// Time of a turn while only floods run.
const FLOODS_ALONE_NANOS: u64 = 500_000;

/// Only floods run if no other connection did for this long.
const POLITE_NANOS: u64 = 100_000_000;

impl Turn {
    pub(super) const fn new() -> Self {
        Self {
            begun: Cell::new(NONE),
            batches: Cell::new(0),
            full_reads: Cell::new(0),
            large: Cell::new(false),
            polite: Cell::new(Nanos(0)),
        }
    }

    /// A connection is polled, at `now` if that is known. One that yielded is measured from its first batch
    /// on; `floods` if it is known to.
    #[inline]
    pub(crate) fn begin(&self, now: Option<Nanos>, yielded: bool, floods: bool) {
        self.begun.set(now.unwrap_or(NONE));
        self.batches.set(if yielded { BATCHES_UNMEASURED } else { 0 });
        self.full_reads.set(0);
        self.large.set(false);
        if let Some(now) = now
            && !floods
        {
            self.polite.set(now);
        }
    }

    /// A batch is about to be served.
    #[inline]
    pub(crate) fn begin_batch(&self, bytes: usize, lines: usize, clock: impl FnOnce() -> Nanos) {
        let batches = self.batches.get();
        self.batches.set(batches + 1);
        if bytes >= LARGE_BYTES || lines >= LARGE_LINES || batches >= BATCHES_UNMEASURED {
            self.large.set(true);
            if self.begun.get() == NONE {
                self.begun.set(clock());
            }
        }
    }

    /// Whether the turn ends behind the batch that was answered.
    #[inline]
    pub(crate) fn is_over(&self, clock: impl FnOnce() -> Nanos) -> bool {
        self.large.get() && self.nanos(clock()) >= TURN_NANOS
    }

    /// Whether a connection whose read filled its block may read on, because only floods wait.
    pub(crate) fn may_read_on(&self, clock: impl FnOnce() -> Nanos) -> bool {
        let full_reads = self.full_reads.get() + 1;
        self.full_reads.set(full_reads);
        if full_reads >= FULL_READS_MAX {
            return false;
        }
        let now = clock();
        now.0.saturating_sub(self.polite.get().0) >= POLITE_NANOS
            && self.nanos(now) < FLOODS_ALONE_NANOS
    }

    /// Whether the turn that ends `now` was that of a flood.
    #[inline]
    pub(crate) fn was_long(&self, now: Nanos) -> bool {
        self.large.get() && self.nanos(now) >= FLOOD_NANOS
    }

    fn nanos(&self, now: Nanos) -> u64 {
        now.0.saturating_sub(self.begun.get().0)
    }
}
