//! Limits the CPU that the admin thread takes from the threads that serve lines.
//!
//! Its low priority alone does not: it still gets a part of a core that they fill, and clients that
//! connect in a loop use all of it. So the thread pauses for a multiple of the time that it ran, but
//! only where threads compete for the core: the kernel counts how long this thread was ready to run
//! and waited.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use towline_host::ProcFile;

/// How many times as long as it ran the thread pauses: under competition it takes a 200th of a core.
const PAUSE_FACTOR: u32 = 200;

/// Longest pause. A health check waits no longer for the requests of others.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Pauses one thread.
#[derive(Debug, Default)]
pub(super) struct CpuThrottle(Mutex<Option<SchedStat>>);

impl CpuThrottle {
    /// Pauses the calling thread, which is the same at each call, if it competes for its core.
    ///
    /// The thread as a whole pauses. If a task paused, clients that send a byte now and then would
    /// still wake the thread, which costs more than reading the byte.
    pub(super) fn pause(&self) {
        let mut stat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = stat.get_or_insert_with(SchedStat::of_this_thread).since_last();
        let pause = pause_after(since);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

/// Times of a thread: on a core, and ready but waiting for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct CpuTime {
    running: Duration,
    waiting: Duration,
}

fn pause_after(CpuTime { running, waiting }: CpuTime) -> Duration {
    let competes = waiting >= running;
    if competes { (running * PAUSE_FACTOR).min(PAUSE_MAX) } else { Duration::ZERO }
}

/// Reads the kernel's times of this thread.
#[derive(Debug)]
struct SchedStat {
    // Its descriptor stays open, so that a read needs none when there are none.
    file: ProcFile,
    last: CpuTime,
}

impl SchedStat {
    fn of_this_thread() -> Self {
        let file = ProcFile::open("/proc/thread-self/schedstat");
        let last = parse(&file.text());
        Self { file, last }
    }

    /// The times since the last call; zero where the kernel does not count them.
    fn since_last(&mut self) -> CpuTime {
        let now = parse(&self.file.text());
        let CpuTime { running, waiting } = std::mem::replace(&mut self.last, now);
        CpuTime {
            running: now.running.saturating_sub(running),
            waiting: now.waiting.saturating_sub(waiting),
        }
    }
}

/// Nanoseconds of running and of waiting, then a number of time slices.
fn parse(schedstat: &str) -> CpuTime {
    let mut nanos = schedstat.split_whitespace().map(|nanos| nanos.parse().unwrap_or(0));
    let mut next = || Duration::from_nanos(nanos.next().unwrap_or(0));
    CpuTime { running: next(), waiting: next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn times(running_us: u64, waiting_us: u64) -> CpuTime {
        CpuTime {
            running: Duration::from_micros(running_us),
            waiting: Duration::from_micros(waiting_us),
        }
    }

    #[test]
    fn a_thread_that_does_not_compete_never_pauses() {
        assert_eq!(pause_after(times(9_000, 40)), Duration::ZERO);
        assert_eq!(pause_after(times(0, 0)), Duration::ZERO);
    }

    #[test]
    fn a_thread_that_competes_pauses_for_a_multiple_of_what_it_ran() {
        assert_eq!(pause_after(times(50, 3_000)), Duration::from_millis(10));
        assert_eq!(pause_after(times(10_000, 10_000)), PAUSE_MAX);
    }

    #[test]
    fn times_are_read_and_missing_ones_pause_no_thread() {
        assert_eq!(parse("498000 2194000 3\n"), times(498, 2_194));
        assert_eq!(parse(""), CpuTime::default());
        let mut stat = SchedStat { file: ProcFile::open("/nowhere"), last: CpuTime::default() };
        assert_eq!(pause_after(stat.since_last()), Duration::ZERO);
    }
}
