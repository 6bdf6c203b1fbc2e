//! The clock that stamps counts and snapshots.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC of clock_gettime(2), in nanoseconds: the clock behind the `Instant`s of Tokio and the
/// standard library, and the same for all processes of a host.
pub fn monotonic_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
