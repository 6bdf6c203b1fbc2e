//! Measures how late a shard runs what is ready to run.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};
use towline_middleware::stats::{Nanos, SchedulingDelay, Stats};

use crate::accept::{ConnectionSlots, register};

/// A timer of the kernel among the sockets of a shard, and the task that it wakes.
///
/// The timer becomes ready at fixed times, and its task is polled as that of a connection with input is: through the
/// same epoll instance, at the same interval between two checks for events, in the same run queue. Late are both for
/// the same reasons: the thread gets no CPU, the process is stopped, a service blocks the thread, or many
/// connections are ready.
///
/// It runs while the shard has connections. *Costs*: a wake-up of the thread per interval, if it sleeps.
#[derive(Debug)]
pub(super) struct SchedulingProbe {
    timer: AsyncFd<OwnedFd>,
    stats: Arc<Stats>,
    slots: OneShard,
    runs: AtomicBool,
}

/// The slots of one shard.
#[derive(Debug, Clone)]
pub(super) struct OneShard {
    pub(super) slots: Arc<ConnectionSlots>,
    pub(super) shard: usize,
}

impl SchedulingProbe {
    /// Makes the probe of a shard, in that shard's runtime.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(super) fn new(stats: Arc<Stats>, slots: OneShard) -> io::Result<Arc<Self>> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer =
            register(timerfd_create(TimerfdClockId::Monotonic, flags)?, Interest::READABLE)?;
        Ok(Arc::new(Self { timer, stats, slots, runs: AtomicBool::new(false) }))
    }

    /// Starts to sample, unless it does. Called when the shard gets connections, on its thread.
    pub(super) fn start(&self) {
        if self.runs.load(Relaxed) {
            return;
        }
        let due = Nanos(self.stats.now().0 + SchedulingDelay::INTERVAL.as_nanos() as u64);
        let due_nanos = self.stats.clock().reading(due);
        match self.set(Duration::from_nanos(due_nanos), SchedulingDelay::INTERVAL) {
            Ok(()) => {
                self.stats.scheduling_delay.start(due);
                self.runs.store(true, Relaxed);
            }
            Err(error) => tracing::debug!(%error, "the scheduling delay cannot be sampled"),
        }
    }

    /// Samples while the shard has connections.
    pub(super) async fn run(self: Arc<Self>) {
        // Fails only when the runtime ends.
        while let Ok(mut ready) = self.timer.readable().await {
            let mut expirations = [0; size_of::<u64>()];
            // Empty if it was stopped meanwhile.
            if rustix::io::read(self.timer.as_fd(), &mut expirations).is_ok() {
                let samples = u64::from_ne_bytes(expirations);
                self.stats.scheduling_delay.record(self.stats.now(), samples);
            }
            ready.clear_ready();
            if self.slots.slots.by_shard(self.slots.shard) == 0 {
                self.stop();
            }
        }
    }

    fn stop(&self) {
        // What cannot be stopped goes on and is not recorded.
        let _ = self.set(Duration::ZERO, Duration::ZERO);
        self.stats.scheduling_delay.stop();
        self.runs.store(false, Relaxed);
    }

    /// Has the timer expire at `first` by the monotonic clock and every `interval` from then on. Zero stops it.
    fn set(&self, first: Duration, interval: Duration) -> io::Result<()> {
        let timespec = |duration: Duration| Timespec {
            tv_sec: duration.as_secs() as i64,
            tv_nsec: duration.subsec_nanos().into(),
        };
        let when = Itimerspec { it_interval: timespec(interval), it_value: timespec(first) };
        timerfd_settime(self.timer.as_fd(), TimerfdTimerFlags::ABSTIME, &when)?;
        Ok(())
    }
}
