use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    HeartbeatTransport, Limits,
    suspend_clock::{LOOK_EVERY, PeerTime},
};
use crate::{
    Dial,
    stats::{Nanos, Stats},
};

/// What all supervised connections of a shard share.
#[derive(Debug)]
pub(super) struct Shared {
    limits: Dials,
    /// Tells parked connections that their timers were armed by other limits; standstills do too.
    version: Dial<u32>,
    time: PeerTime,
    pub(super) stats: Arc<Stats>,
}

#[derive(Debug)]
struct Dials {
    heartbeat_interval: Dial<Option<Duration>>,
    heartbeat_timeout: Dial<Duration>,
    idle: Dial<Option<Duration>>,
    line: Dial<Option<Duration>>,
    write: Dial<Option<Duration>>,
}

impl Shared {
    fn new(limits: Limits, stats: Arc<Stats>) -> Self {
        let limits = Dials {
            heartbeat_interval: Dial::new(limits.heartbeat_interval),
            heartbeat_timeout: Dial::new(limits.heartbeat_timeout),
            idle: Dial::new(limits.idle),
            line: Dial::new(limits.line),
            write: Dial::new(limits.write),
        };
        Self { limits, version: Dial::new(0), time: PeerTime::new(), stats }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            heartbeat_interval: self.limits.heartbeat_interval.get(),
            heartbeat_timeout: self.limits.heartbeat_timeout.get(),
            idle: self.limits.idle.get(),
            line: self.limits.line.get(),
            write: self.limits.write.get(),
        }
    }

    /// The time that peers are held to.
    pub(super) fn now(&self) -> Nanos {
        self.time.at(self.stats.now())
    }

    /// The same for a time at which somebody looked just now.
    #[inline]
    pub(super) fn peer_time(&self, now: Nanos) -> Nanos {
        self.time.at(now)
    }

    /// When a timer must fire that is due at that time.
    pub(super) fn instant(&self, time: Nanos) -> Instant {
        self.stats.instant(self.time.usual(time))
    }

    /// As much of it as a connection remembers.
    #[inline]
    pub(super) fn version(&self) -> u16 {
        self.version.get().wrapping_add(self.time.standstills()) as u16
    }

    fn set(&self, limits: Limits) {
        self.limits.heartbeat_interval.set(limits.heartbeat_interval);
        self.limits.heartbeat_timeout.set(limits.heartbeat_timeout);
        self.limits.idle.set(limits.idle);
        self.limits.line.set(limits.line);
        self.limits.write.set(limits.write);
        self.version.set(self.version.get().wrapping_add(1));
    }
}

/// Passes a [`HeartbeatTransport`] on to the connection stack.
#[derive(Debug, Clone)]
pub struct Heartbeat<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, T> Service<T> for Heartbeat<S>
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

/// Makes a [`Heartbeat`]. Goes above framing.
#[derive(Debug, Clone)]
pub struct HeartbeatLayer {
    shared: Arc<Shared>,
}

impl HeartbeatLayer {
    /// Holds each connection to `limits` and counts pings in `stats`.
    pub fn new(limits: Limits, stats: Arc<Stats>) -> Self {
        Self { shared: Arc::new(Shared::new(limits, stats)) }
    }

    /// Looks after the time that peers are held to, for as long as it is polled: without it a server
    /// that was stopped for longer than its deadlines ends every connection when it goes on.
    /// *Costs*: a wake-up each quarter of a second, whatever the number of connections.
    pub async fn keep_time(self) {
        loop {
            self.shared.time.look(self.shared.stats.now());
            sleep(LOOK_EVERY).await;
        }
    }

    /// What connections are held to now.
    pub fn limits(&self) -> Limits {
        self.shared.limits()
    }

    /// Holds connections to other limits, those that are open too. One that is parked looks at them
    /// when it wakes, so wake it ([`Signal::nudge`](crate::drain::Signal::nudge)).
    pub fn set_limits(&self, limits: Limits) {
        self.shared.set(limits);
    }
}

impl<S> Layer<S> for HeartbeatLayer {
    type Service = Heartbeat<S>;

    fn layer(&self, inner: S) -> Heartbeat<S> {
        Heartbeat { inner, shared: self.shared.clone() }
    }
}
