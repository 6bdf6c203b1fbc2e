use std::cell::Cell;

use crate::clock::Nanos;

/// Cached timestamps of this thread, for measurements that need the time to a few microseconds.
///
/// A connection reads the clock when it resumes and when it parks; in between, the last reading is
/// microseconds old and serves for everything. A batch answered meanwhile is timed by the reading at the
/// park, so most wake-ups get along with one. On a thread that serves nothing but connections, the
/// reading at a park also serves the connection that resumes next: between the two the thread did
/// nothing else, unless it [waited](Self::invalidate).
pub(crate) struct ThreadClock {
    // Separate cells, because most callers use two of them.
    /// The last reading.
    now: Cell<Nanos>,
    /// When the batch began that the running connection has answered since.
    replied: Cell<Nanos>,
    /// A reading stays valid when the connection that took it parks.
    outlives_task: Cell<bool>,
    /// The last reading is of a connection that runs now.
    running: Cell<bool>,
}

/// No reading, or no batch.
const NONE: Nanos = Nanos(u64::MAX);

impl ThreadClock {
    pub(super) const fn new() -> Self {
        Self {
            now: Cell::new(NONE),
            replied: Cell::new(NONE),
            outlives_task: Cell::new(false),
            running: Cell::new(false),
        }
    }

    /// From now on a reading at a park serves the connection of this thread that resumes next.
    pub(crate) fn share_between_tasks(&self) {
        self.invalidate();
        self.outlives_task.set(true);
    }

    /// Drops the last reading, which will be too old: the thread waits, or did something long.
    pub(crate) fn invalidate(&self) {
        self.now.set(NONE);
        self.running.set(false);
    }

    /// The last reading, if it is recent.
    #[inline]
    pub(crate) fn recent(&self) -> Option<Nanos> {
        some(self.now.get())
    }

    /// Records a reading of the connection that runs.
    #[inline]
    pub(crate) fn set(&self, now: Nanos) {
        self.now.set(now);
        self.running.set(true);
    }

    /// Records the reading with which the connection that runs parks.
    #[inline]
    pub(crate) fn park(&self, now: Nanos) {
        self.now.set(if self.outlives_task.get() { now } else { NONE });
        self.running.set(false);
    }

    /// Records that the running connection answered a batch that began at `begun`. Returns whether its
    /// next reading ends that batch: `false` if another batch waits for that already, or if the caller
    /// is no connection.
    #[inline]
    pub(crate) fn set_replied(&self, begun: Nanos) -> bool {
        let first = self.running.get() && self.replied.get() == NONE;
        if first {
            self.replied.set(begun);
        }
        first
    }

    /// When the batch began that the reading taken now ends, if there is one.
    #[inline]
    pub(crate) fn take_replied(&self) -> Option<Nanos> {
        some(self.replied.replace(NONE))
    }
}

#[inline]
fn some(nanos: Nanos) -> Option<Nanos> {
    (nanos != NONE).then_some(nanos)
}
