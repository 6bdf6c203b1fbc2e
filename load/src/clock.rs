//! The one clock of the generator: nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Its zero is the same in every process of a host, which is what lets worker processes follow one
//! schedule. A reading costs about 25 ns (no system call: the kernel's vDSO answers).

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

/// A moment, in nanoseconds since the host started.
pub(crate) fn now() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// CPU time the calling thread has used, in nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// Time the calling thread was ready to run but waited for a CPU, in nanoseconds; 0 where the kernel
/// does not say.
pub(crate) fn thread_queued() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// A span of nanoseconds as the kernel takes it.
pub(crate) fn timespec(span: u64) -> Timespec {
    Timespec { tv_sec: (span / SECOND) as i64, tv_nsec: (span % SECOND) as i64 }
}

/// A span of nanoseconds in seconds.
pub(crate) fn seconds(span: u64) -> f64 {
    span as f64 / SECOND as f64
}

fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}
