//! Clocks of the system: real processes are timed here, so tokio's clock, which a test may pause, would
//! be the wrong one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock: time since an arbitrary start.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// CPU time used by this thread: other processes on its core do not count.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
