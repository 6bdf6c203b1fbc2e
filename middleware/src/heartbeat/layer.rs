use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Deadlines, HeartbeatTransport,
    suspend_clock::{SAMPLE_INTERVAL, SuspendClock},
};
use crate::{
    LiveSetting,
    stats::{Nanos, Stats},
};

/// What all supervised connections of a shard share.
#[derive(Debug)]
pub(super) struct Supervision {
    deadlines: DeadlineSettings,
    /// Tells parked connections that their timers were armed by other deadlines; standstills do too.
    version: LiveSetting<u32>,
    clock: SuspendClock,
    pub(super) stats: Arc<Stats>,
}

#[derive(Debug)]
struct DeadlineSettings {
    heartbeat_interval: LiveSetting<Option<Duration>>,
    heartbeat_timeout: LiveSetting<Duration>,
    idle: LiveSetting<Option<Duration>>,
    line: LiveSetting<Option<Duration>>,
    write: LiveSetting<Option<Duration>>,
}

impl Supervision {
    fn new(deadlines: Deadlines, stats: Arc<Stats>) -> Self {
        let deadlines = DeadlineSettings {
            heartbeat_interval: LiveSetting::new(deadlines.heartbeat_interval),
            heartbeat_timeout: LiveSetting::new(deadlines.heartbeat_timeout),
            idle: LiveSetting::new(deadlines.idle),
            line: LiveSetting::new(deadlines.line),
            write: LiveSetting::new(deadlines.write),
        };
        Self { deadlines, version: LiveSetting::new(0), clock: SuspendClock::new(), stats }
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

    /// The time that peers are held to.
    pub(super) fn now(&self) -> Nanos {
        self.clock.active_at(self.stats.now())
    }

    /// The same for a time at which somebody looked just now.
    #[inline]
    pub(super) fn active_time(&self, now: Nanos) -> Nanos {
        self.clock.active_at(now)
    }

    /// When a timer must fire that is due at that time.
    pub(super) fn instant(&self, time: Nanos) -> Instant {
        self.stats.instant(self.clock.monotonic_at(time))
    }

    /// As much of it as a connection remembers.
    #[inline]
    pub(super) fn version(&self) -> u16 {
        self.version.load().wrapping_add(self.clock.suspensions()) as u16
    }

    fn set(&self, deadlines: Deadlines) {
        self.deadlines.heartbeat_interval.store(deadlines.heartbeat_interval);
        self.deadlines.heartbeat_timeout.store(deadlines.heartbeat_timeout);
        self.deadlines.idle.store(deadlines.idle);
        self.deadlines.line.store(deadlines.line);
        self.deadlines.write.store(deadlines.write);
        self.version.store(self.version.load().wrapping_add(1));
    }
}

/// Passes a [`HeartbeatTransport`] on to the connection stack.
#[derive(Debug, Clone)]
pub struct HeartbeatService<S> {
    inner: S,
    shared: Arc<Supervision>,
}

impl<S, T> Service<T> for HeartbeatService<S>
where
    S: Service<HeartbeatTransport<T>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, transport: T) -> S::Future {
        self.inner.call(HeartbeatTransport::new(transport, self.shared.clone()))
    }
}

/// Makes a [`HeartbeatService`]. Goes above framing.
#[derive(Debug, Clone)]
pub struct HeartbeatLayer {
    shared: Arc<Supervision>,
}

impl HeartbeatLayer {
    /// Holds each connection to `deadlines` and counts pings in `stats`.
    pub fn new(deadlines: Deadlines, stats: Arc<Stats>) -> Self {
        Self { shared: Arc::new(Supervision::new(deadlines, stats)) }
    }

    /// Looks after the time that peers are held to, for as long as it is polled: without it a server
    /// that was stopped for longer than its deadlines ends every connection when it goes on.
    /// *Costs*: a wake-up each quarter of a second, whatever the number of connections.
    pub async fn run_watchdog(self) {
        loop {
            self.shared.clock.sample(self.shared.stats.now());
            sleep(SAMPLE_INTERVAL).await;
        }
    }

    /// What connections are held to now.
    pub fn deadlines(&self) -> Deadlines {
        self.shared.deadlines()
    }

    /// Holds connections to other deadlines, those that are open too. One that is parked looks at them
    /// when it wakes, so wake it ([`Signal::wake_from`](crate::drain::Signal::wake_from)).
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.shared.set(deadlines);
    }
}

impl<S> Layer<S> for HeartbeatLayer {
    type Service = HeartbeatService<S>;

    fn layer(&self, inner: S) -> HeartbeatService<S> {
        HeartbeatService { inner, shared: self.shared.clone() }
    }
}
