use std::{panic::Location, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::ServiceBuilder;
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramingLayer, Lines, LinesBatchCodec,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::Serve,
    stats::{CloseReason, Stats},
};

use crate::assert_closed_once;

/// `seconds` seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The deadlines of a server by default.
pub const DEADLINES: Deadlines =
    Deadlines::new().heartbeat(Some(secs(30)), secs(10)).line(Some(secs(30))).write(Some(secs(10)));

/// The client's side of a connection that is held to deadlines, on a paused clock.
#[derive(Debug)]
pub struct SupervisedClient {
    /// What it sends and reads through.
    pub io: DuplexStream,
    /// The counts of the connection.
    pub stats: Arc<Stats>,
    /// Why the connection ended.
    pub end: JoinHandle<CloseReason>,
    /// When it was made.
    pub start: Instant,
}

impl SupervisedClient {
    /// A client whose lines are echoed.
    pub fn new(deadlines: Deadlines) -> Self {
        Self::of(deadlines, Echo)
    }

    /// A client of `service`.
    pub fn of<S>(deadlines: Deadlines, service: S) -> Self
    where
        S: Service<Lines, Response = Lines, Error = BoxError> + Clone + Send + 'static,
        S::Future: Send,
    {
        let (io, server) = duplex(1024);
        let stats = Arc::new(Stats::new(Instant::now()));
        let mut stack = ServiceBuilder::new()
            .layer(FramingLayer::new(LinesBatchCodec::new, 1000))
            .layer(HeartbeatLayer::new(deadlines, stats.clone()))
            .service(Serve::new(service).stats(stats.clone()));
        let connection = stack.call(server);
        let end = tokio::spawn(async { connection.await.unwrap() });
        Self { io, stats, end, start: Instant::now() }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Expects these bytes, however long they take.
    #[track_caller]
    pub fn expect(&mut self, bytes: &'static str) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let mut got = vec![0; bytes.len()];
            let read = timeout(secs(3600), self.io.read_exact(&mut got)).await;
            assert!(read.is_ok_and(|read| read.is_ok()), "no {bytes:?}, at {at}");
            assert_eq!(String::from_utf8_lossy(&got), bytes, "at {at}");
        }
    }

    /// Expects no byte for `duration`.
    pub async fn expect_silence(&mut self, duration: Duration) {
        let mut got = [0; 1];
        assert!(timeout(duration, self.io.read(&mut got)).await.is_err(), "{got:?} came");
    }

    /// Expects the connection to end for `reason`, at this time after its start.
    pub async fn expect_end(self, reason: CloseReason, at: Duration) {
        assert_eq!(self.end.await.unwrap(), reason);
        assert_closed_once(&self.stats, reason);
        assert_on_time(self.start.elapsed(), at);
    }
}

/// Fails if a timer fired early, or later than its tolerance: the 256th part of its wait, so that timers
/// fire together, and the millisecond to which tokio rounds.
#[track_caller]
pub fn assert_on_time(got: Duration, expected: Duration) {
    let late = got.checked_sub(expected);
    let late_max = expected / 256 + Duration::from_millis(2);
    assert!(late.is_some_and(|late| late <= late_max), "{got:?}, not {expected:?}");
}
