//! How the admin thread steps back where processors are short.
//!
//! A low priority alone still gets a part of a processor that others want, and clients that ask without
//! end take it all. The kernel tells how long this thread stood in line for a processor:
//! where that was longer than it ran, somebody wants the processor more, and what it ran is charged to
//! an account. Honest clients never overdraw it.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use towline_host::ProcFile;

/// Where processors are short, the thread may run this part of the time.
const SHARE: u32 = 200;

/// So much of what it did not use it may use later: some sixty scrapes in a row.
const SAVED_MAX: Duration = Duration::from_millis(20);

/// No rest is longer: a health check must not wait for what others have asked.
const REST_MAX: Duration = Duration::from_millis(250);

/// Has a thread rest.
#[derive(Debug, Default)]
pub(super) struct CpuThrottle(Mutex<Option<Watch>>);

impl CpuThrottle {
    /// Has the calling thread, always the same one, rest if it has run more than it may. All of it: a
    /// task that slept would leave those awake that clients wake with a byte each, and to be woken
    /// costs the processor more than to read the byte.
    pub(super) fn rest(&self) {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = watch.get_or_insert_with(Watch::of_this_thread).rest();
        if !rest.is_zero() {
            thread::sleep(rest);
        }
    }
}

/// Looks at what this thread runs.
#[derive(Debug)]
struct Watch {
    // Kept open: it must not need a descriptor when there are none.
    schedstat: ProcFile,
    before: Spent,
    at: Instant,
    account: Account,
}

/// In all the thread's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    running: Duration,
    in_line: Duration,
}

/// How long the thread may run before it rests, or how much longer it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Saved(Duration),
    Owed(Duration),
}

impl Watch {
    /// Of the thread that calls this.
    fn of_this_thread() -> Self {
        let schedstat = ProcFile::open("/proc/thread-self/schedstat");
        let before = Spent::parse(&schedstat.text()).unwrap_or_default();
        Self { schedstat, before, at: Instant::now(), account: Account::Saved(SAVED_MAX) }
    }

    /// How long to rest now. Not at all where the kernel doesn't tell.
    fn rest(&mut self) -> Duration {
        let Some(spent) = Spent::parse(&self.schedstat.text()) else { return Duration::ZERO };
        let now = Instant::now();
        self.account = self.account.after(now - self.at, spent.charged_since(self.before));
        (self.before, self.at) = (spent, now);
        self.account.rest()
    }
}

impl Spent {
    /// On a processor and in line for one, in nanoseconds, and how often on one.
    fn parse(schedstat: &str) -> Option<Self> {
        let mut nanos = schedstat.split_whitespace().map(|n| n.parse().map(Duration::from_nanos));
        Some(Self { running: nanos.next()?.ok()?, in_line: nanos.next()?.ok()? })
    }

    /// What was run since `before`, if others wanted the processor.
    fn charged_since(self, before: Self) -> Duration {
        let running = self.running.saturating_sub(before.running);
        let in_line = self.in_line.saturating_sub(before.in_line);
        if in_line < running { Duration::ZERO } else { running }
    }
}

impl Account {
    fn after(self, elapsed: Duration, charged: Duration) -> Self {
        let (mut saved, mut owed) = match self {
            Self::Saved(saved) => (saved, Duration::ZERO),
            Self::Owed(owed) => (Duration::ZERO, owed),
        };
        saved += elapsed / SHARE;
        owed += charged;
        if saved >= owed {
            Self::Saved((saved - owed).min(SAVED_MAX))
        } else {
            // What one rest cannot pay is forgiven, so that who comes after an abuse need not pay.
            Self::Owed((owed - saved).min(REST_MAX / SHARE))
        }
    }

    fn rest(self) -> Duration {
        match self {
            Self::Saved(_) => Duration::ZERO,
            Self::Owed(owed) => owed * SHARE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const fn spent(running_us: u64, in_line_us: u64) -> Spent {
        Spent {
            running: Duration::from_micros(running_us),
            in_line: Duration::from_micros(in_line_us),
        }
    }

    #[test]
    fn nothing_is_charged_while_there_are_processors_enough() {
        assert_eq!(spent(9_000, 40).charged_since(spent(1_000, 30)), Duration::ZERO);
        let charged = spent(1_100, 5_000).charged_since(spent(1_000, 0));
        assert_eq!(charged, Duration::from_micros(100));
    }

    #[test]
    fn a_scrape_a_second_and_some_health_checks_never_rest() {
        let mut account = Account::Saved(Duration::ZERO);
        for _ in 0..1_000 {
            account = account.after(SECOND, Duration::from_millis(1));
            assert_eq!(account.rest(), Duration::ZERO);
        }
        assert_eq!(account, Account::Saved(SAVED_MAX));
    }

    #[test]
    fn who_asks_without_end_gets_a_two_hundredth_of_the_time() {
        let (mut account, mut ran, mut passed) =
            (Account::Saved(SAVED_MAX), Duration::ZERO, Duration::ZERO);
        while passed < 100 * SECOND {
            let run = Duration::from_micros(700);
            account = account.after(run, run);
            let rest = account.rest();
            account = account.after(rest, Duration::ZERO);
            ran += run;
            passed += run + rest;
        }
        let allowed = SAVED_MAX + passed / SHARE;
        assert!(ran <= allowed + Duration::from_millis(1), "{ran:?} of {allowed:?}");
    }

    #[test]
    fn no_rest_is_longer_than_a_health_check_can_bear() {
        let owing = Account::Saved(Duration::ZERO).after(SECOND, SECOND);
        assert_eq!(owing.rest(), REST_MAX);
        assert_eq!(owing.after(REST_MAX, Duration::ZERO).rest(), Duration::ZERO);
    }

    #[test]
    fn the_kernels_numbers_are_read_and_missing_ones_rest_nobody() {
        assert_eq!(Spent::parse("498000 2194000 3\n"), Some(spent(498, 2_194)));
        assert_eq!(Spent::parse(""), None);
        let mut watch = Watch { schedstat: ProcFile::open("/nowhere"), ..Watch::of_this_thread() };
        assert_eq!(watch.rest(), Duration::ZERO);
    }
}
