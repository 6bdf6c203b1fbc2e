//! Time, read through system calls: what is timed here is real processes, so tokio's clock, which a
//! test may pause, would be the wrong one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since an arbitrary start, never stepping back.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// CPU time this thread has used: unmoved by whoever else wants the core.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}
