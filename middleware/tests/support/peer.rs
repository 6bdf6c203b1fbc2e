//! A supervised connection seen from its peer's side, on a paused clock.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramingLayer, Lines, LinesBatchCodec,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::Serve,
    stats::{CloseReason, Stats},
};

use crate::support::assert_ended_once;

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The defaults of the server.
pub(crate) const LIMITS: Deadlines =
    Deadlines::new().heartbeat(Some(secs(30)), secs(10)).line(Some(secs(30))).write(Some(secs(10)));

pub(crate) const NO_PING: Deadlines = LIMITS.heartbeat(None, LIMITS.heartbeat_timeout);

pub(crate) struct Peer {
    pub(crate) io: DuplexStream,
    pub(crate) stats: Arc<Stats>,
    pub(crate) end: JoinHandle<CloseReason>,
    pub(crate) begun: Instant,
}

impl Peer {
    pub(crate) fn new(limits: Deadlines) -> Self {
        Self::of(limits, Echo)
    }

    pub(crate) fn of<S>(limits: Deadlines, service: S) -> Self
    where
        S: Service<Lines, Response = Lines, Error = BoxError> + Clone + Send + 'static,
        S::Future: Send,
    {
        let (io, server) = duplex(1024);
        let stats = Arc::new(Stats::new(Instant::now()));
        let mut stack = ServiceBuilder::new()
            .layer(FramingLayer::new(LinesBatchCodec::new, 1000))
            .layer(HeartbeatLayer::new(limits, stats.clone()))
            .service(Serve::new(service).stats(stats.clone()));
        let connection = stack.call(server);
        let end = tokio::spawn(async { connection.await.unwrap() });
        Self { io, stats, end, begun: Instant::now() }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: &'static str) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let mut got = vec![0; bytes.len()];
            let read = timeout(secs(3600), self.io.read_exact(&mut got)).await;
            assert!(read.is_ok_and(|read| read.is_ok()), "no {bytes:?}, at {at}");
            assert_eq!(String::from_utf8_lossy(&got), bytes, "at {at}");
        }
    }

    pub(crate) async fn expect_silence(&mut self, duration: Duration) {
        let mut got = [0; 1];
        assert!(timeout(duration, self.io.read(&mut got)).await.is_err(), "{got:?} came");
    }

    /// The connection ends for `reason`, so long after it began.
    pub(crate) async fn expect_end(self, reason: CloseReason, at: Duration) {
        assert_eq!(self.end.await.unwrap(), reason);
        assert_ended_once(&self.stats, reason);
        assert_on_time(self.begun.elapsed(), at);
    }
}

/// A service whose replies are more than any pipe here holds.
pub(crate) fn long_replies()
-> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + 'static {
    service_fn(|_| async { Ok(Lines::new("x".repeat(99_999) + "\n").unwrap()) })
}

/// Timers fire together with others, at most the 256th part of their wait late, and tokio's on the
/// millisecond after.
#[track_caller]
pub(crate) fn assert_on_time(got: Duration, expected: Duration) {
    let late = got.checked_sub(expected);
    let most = expected / 256 + Duration::from_millis(2);
    assert!(late.is_some_and(|late| late <= most), "{got:?}, not {expected:?}");
}
