//! The clock of the generator: nanoseconds of `CLOCK_MONOTONIC`.
//!
//! All processes of a host read the same time from it, so worker processes can follow one schedule. A
//! reading costs about 25 ns (vDSO, no system call).

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

/// The current time, in nanoseconds since the host started.
pub(crate) fn now() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// CPU time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// Nanoseconds for which the calling thread was ready to run but had no CPU; 0 if the kernel does not
/// count them.
pub(crate) fn thread_queued() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Converts nanoseconds to the kernel's type.
pub(crate) fn timespec(span: u64) -> Timespec {
    Timespec { tv_sec: (span / SECOND) as i64, tv_nsec: (span % SECOND) as i64 }
}

/// Converts nanoseconds to seconds.
pub(crate) fn seconds(span: u64) -> f64 {
    span as f64 / SECOND as f64
}

fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}
