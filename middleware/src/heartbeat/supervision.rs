use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Deadlines, PingWords,
    suspend_clock::{Reading, SAMPLE_INTERVAL, SuspendClock},
};
use crate::{clock::Nanos, live_setting::LiveSetting, stats::Stats};

/// What all supervised connections of a layer share.
#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
pub(super) struct Supervision {
    deadlines: LiveDeadlines,
    /// Changes with the deadlines, so that a parked connection sees that its timer was armed by others.
    version: LiveSetting<u32>,
    clock: SuspendClock,
    pub(super) stats: Arc<Stats>,
    pub(super) words: PingWords,
}

#[derive(Debug)]
struct LiveDeadlines {
    heartbeat_interval: LiveSetting<Option<Duration>>,
    heartbeat_timeout: LiveSetting<Duration>,
    idle: LiveSetting<Option<Duration>>,
    line: LiveSetting<Option<Duration>>,
    write: LiveSetting<Option<Duration>>,
}

impl Supervision {
    pub(super) fn new(deadlines: Deadlines, stats: Arc<Stats>, words: PingWords) -> Self {
        let deadlines = LiveDeadlines {
            heartbeat_interval: LiveSetting::new(deadlines.heartbeat_interval),
            heartbeat_timeout: LiveSetting::new(deadlines.heartbeat_timeout),
            idle: LiveSetting::new(deadlines.idle),
            line: LiveSetting::new(deadlines.line),
            write: LiveSetting::new(deadlines.write),
        };
        let (version, clock) = (LiveSetting::new(0), SuspendClock::default());
        Self { deadlines, version, clock, stats, words }
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        Deadlines {
            heartbeat_interval: self.deadlines.heartbeat_interval.load(),
            heartbeat_timeout: self.deadlines.heartbeat_timeout.load(),
            idle: self.deadlines.idle.load(),
            line: self.deadlines.line.load(),
            write: self.deadlines.write.load(),
        }
    }

    pub(super) fn set_deadlines(&self, deadlines: Deadlines) {
        self.deadlines.heartbeat_interval.store(deadlines.heartbeat_interval);
        self.deadlines.heartbeat_timeout.store(deadlines.heartbeat_timeout);
        self.deadlines.idle.store(deadlines.idle);
        self.deadlines.line.store(deadlines.line);
        self.deadlines.write.store(deadlines.write);
        self.version.store(self.version.load().wrapping_add(1));
    }

    /// The version, in as many bits as a connection stores.
    #[inline]
    pub(super) fn version(&self) -> u16 {
        self.version.load() as u16
    }

    /// Reads the clock.
    pub(super) fn now(&self) -> Reading {
        self.clock.at(self.stats.now())
    }

    /// The active time at a monotonic time that was read just now.
    #[inline]
    pub(super) fn at(&self, monotonic: Nanos) -> Reading {
        self.clock.at(monotonic)
    }

    /// Samples the suspend clock for ever.
    pub(super) async fn run_watchdog(&self) {
        /// Without it active time would stand still when the watchdog is dropped.
        struct Stop<'a>(&'a SuspendClock);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop_sampling();
            }
        }

        let stop = Stop(&self.clock);
        loop {
            stop.0.sample(self.stats.now());
            self.stats.ticks.add(1);
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    /// The instant of a monotonic time, for timers.
    pub(super) fn instant(&self, monotonic: Nanos) -> Instant {
        self.stats.instant(monotonic)
    }
}
