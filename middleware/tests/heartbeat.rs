//! A supervised connection on a paused clock: the peer hears, answers, or is given up.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use support::assert_ended_once;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramingLayer, Lines, LinesBatchCodec,
    heartbeat::{HeartbeatLayer, Limits, PROGRESS_BYTES},
    serve::Serve,
    stats::{CloseReason, Stats},
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The defaults of the server.
const LIMITS: Limits = Limits {
    heartbeat_interval: Some(secs(30)),
    heartbeat_timeout: secs(10),
    idle: None,
    line: Some(secs(30)),
    write: Some(secs(10)),
};

const NO_PING: Limits = Limits { heartbeat_interval: None, ..LIMITS };

/// A connection under supervision, from its peer's side.
struct Peer {
    io: DuplexStream,
    stats: Arc<Stats>,
    end: JoinHandle<CloseReason>,
    begun: Instant,
}

impl Peer {
    fn new(limits: Limits) -> Self {
        Self::of(limits, Echo)
    }

    fn of<S>(limits: Limits, service: S) -> Self
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
        let exchange = stack.call(server);
        let end = tokio::spawn(async { exchange.await.unwrap() });
        Self { io, stats, end, begun: Instant::now() }
    }

    async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
    }

    #[track_caller]
    fn expect(&mut self, bytes: &'static str) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let mut got = vec![0; bytes.len()];
            let read = timeout(secs(3600), self.io.read_exact(&mut got)).await;
            assert!(read.is_ok_and(|read| read.is_ok()), "no {bytes:?}, at {at}");
            assert_eq!(String::from_utf8_lossy(&got), bytes, "at {at}");
        }
    }

    async fn expect_silence(&mut self, duration: Duration) {
        let mut got = [0; 1];
        assert!(timeout(duration, self.io.read(&mut got)).await.is_err(), "{got:?} came");
    }

    /// The connection ends for `reason`, so long after it began.
    async fn expect_end(self, reason: CloseReason, at: Duration) {
        assert_eq!(self.end.await.unwrap(), reason);
        assert_ended_once(&self.stats, reason);
        assert_within_a_tick(self.begun.elapsed(), at);
    }
}

/// tokio's timers fire on the millisecond after.
#[track_caller]
fn assert_within_a_tick(got: Duration, expected: Duration) {
    let late = got.checked_sub(expected);
    assert!(late.is_some_and(|late| late <= Duration::from_millis(2)), "{got:?}, not {expected:?}");
}

/// The timer stood at the end of the time to answer, and was left there when the answer came: with
/// a timeout longer than the interval the next ping was late by the difference, or never sent.
#[tokio::test(start_paused = true)]
async fn an_answer_brings_the_next_ping_forward_to_an_interval_from_then() {
    let mut peer = Peer::new(Limits { heartbeat_timeout: secs(600), ..LIMITS });
    peer.expect("ping\n").await;
    for _ in 0..3 {
        let answered = Instant::now();
        peer.send("pong\n").await;
        peer.expect("ping\n").await;
        let waited = answered.elapsed();
        assert!((secs(30)..=secs(34)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_peer_is_pinged_then_closed() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    assert_within_a_tick(peer.begun.elapsed(), secs(30));
    let stats = peer.stats.clone();
    peer.expect_silence(Duration::from_millis(9_900)).await;
    peer.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
    assert_eq!((stats.heartbeats_sent.get(), stats.heartbeats_missed.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pong_is_not_echoed_and_a_second_one_is_an_ordinary_line() {
    let mut peer = Peer::new(LIMITS);
    for _ in 0..3 {
        peer.expect("ping\n").await;
        peer.send("pong\n").await;
        peer.expect_silence(secs(1)).await;
        peer.send("pong\n").await;
        peer.expect("pong\n").await;
    }
    assert_eq!((peer.stats.heartbeats_sent.get(), peer.stats.heartbeats_missed.get()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pong_without_a_ping_is_an_ordinary_line() {
    let mut peer = Peer::new(LIMITS);
    peer.send("pong\n").await;
    peer.expect("pong\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_line_under_way_before_the_pong_does_not_make_the_pong_an_echo() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    peer.send("under way\n").await;
    peer.expect("under way\n").await;
    peer.send("pong\n").await;
    peer.expect_silence(secs(1)).await;

    // All in one read: only the one line is taken out.
    sleep(secs(30)).await;
    peer.expect("ping\n").await;
    peer.send("a\nb\npong\nc\npong\n").await;
    peer.expect("a\nb\nc\npong\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_pong_later_than_the_timeout_is_an_ordinary_line() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    peer.send("alive\n").await;
    peer.expect("alive\n").await;
    sleep(secs(11)).await;
    peer.send("pong\n").await;
    peer.expect("pong\n").await;
}

#[tokio::test(start_paused = true)]
async fn any_line_answers_a_ping() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    sleep(secs(9)).await;
    peer.send("busy\n").await;
    peer.expect("busy\n").await;
    peer.expect_silence(Duration::from_millis(29_900)).await;
    peer.expect("ping\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_pinged() {
    let mut peer = Peer::new(LIMITS);
    for _ in 0..20 {
        sleep(secs(29)).await;
        peer.send("here\n").await;
        peer.expect("here\n").await;
    }
    assert_eq!(peer.stats.heartbeats_sent.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_trickling_peer_lapses_at_the_line_deadline_although_bytes_arrive() {
    let mut peer = Peer::new(NO_PING);
    sleep(secs(7)).await;
    for _ in 0..7 {
        peer.send("x").await;
        sleep(secs(4)).await;
    }
    // First byte at 7 s; the last at 31 s does not extend it.
    peer.expect_end(CloseReason::ReadTimeout, secs(37)).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_never_become_a_line_are_no_life() {
    let mut peer = Peer::new(Limits { line: None, ..LIMITS });
    for _ in 0..13 {
        peer.send("x").await;
        sleep(secs(3)).await;
    }
    peer.expect("ping\n").await;
    peer.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
}

#[tokio::test(start_paused = true)]
async fn each_line_has_its_own_deadline() {
    let mut peer = Peer::new(NO_PING);
    for _ in 0..10 {
        // The end of one and the beginning of the next: never whole, never late.
        peer.send("begin").await;
        sleep(secs(20)).await;
        peer.send("\n").await;
        peer.expect("begin\n").await;
    }
    let at = peer.begun.elapsed();
    peer.send("never finished").await;
    peer.expect_end(CloseReason::ReadTimeout, at + secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_line_for_too_long_is_idle() {
    let mut peer = Peer::new(Limits { idle: Some(secs(60)), ..NO_PING });
    sleep(secs(50)).await;
    peer.send("a\n").await;
    peer.expect("a\n").await;
    peer.expect_end(CloseReason::IdleTimeout, secs(110)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_stalls_out() {
    let mut peer = Peer::new(NO_PING);
    // More than the pipe holds, never read.
    peer.send(&"x\n".repeat(512)).await;
    peer.send(&"y\n".repeat(512)).await;
    peer.expect_end(CloseReason::WriteTimeout, secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn progress_re_arms_the_write_timeout() {
    let mut peer = Peer::of(NO_PING, long_replies());
    peer.send("x\n").await;
    for _ in 0..8 {
        sleep(secs(9)).await;
        // What it owes, and what the pipe holds more.
        peer.io.read_exact(&mut [0; PROGRESS_BYTES as usize]).await.unwrap();
    }
    peer.expect_end(CloseReason::WriteTimeout, secs(82)).await;
}

fn long_replies()
-> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + 'static {
    service_fn(|_| async { Ok(Lines::new("x".repeat(99_999) + "\n").unwrap()) })
}

/// Any byte re-armed the timeout, so a peer that took one now and then kept its full buffers, and
/// the server's, for as long as it liked.
#[tokio::test(start_paused = true)]
async fn fault_7_a_peer_that_takes_a_byte_at_a_time_is_cut_all_the_same() {
    let mut peer = Peer::of(NO_PING, long_replies());
    peer.send("x\n").await;
    for _ in 0..99 {
        sleep(Duration::from_millis(100)).await;
        peer.io.read_exact(&mut [0]).await.unwrap();
    }
    peer.expect_end(CloseReason::WriteTimeout, secs(10)).await;
}

/// What is owed is no more than there is: a slow peer with little to take needs to take that only.
#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_takes_all_there_is_stays() {
    let mut peer = Peer::new(NO_PING);
    let full = "x".repeat(900) + "\n";
    peer.send(&full).await;
    for _ in 0..20 {
        peer.send(&full).await;
        sleep(secs(9)).await;
        peer.io.read_exact(&mut [0; 901]).await.unwrap();
    }
    peer.io.read_exact(&mut [0; 901]).await.unwrap();
    assert!(!peer.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn no_ping_goes_out_while_a_line_is_served_and_the_silence_is_not_the_peers() {
    let slow = service_fn(|lines: Lines| async move {
        sleep(secs(300)).await;
        Ok::<_, BoxError>(lines)
    });
    let mut peer = Peer::of(Limits { idle: Some(secs(40)), ..LIMITS }, slow);
    peer.send("slow\nhalf").await;
    peer.expect("slow\n").await;
    assert_within_a_tick(peer.begun.elapsed(), secs(300));
    assert_eq!(peer.stats.heartbeats_sent.get(), 0);
    // The clocks begin anew: the line begun meanwhile has its whole deadline.
    peer.expect_end(CloseReason::ReadTimeout, secs(330)).await;
}

#[tokio::test(start_paused = true)]
async fn first_pings_are_spread_over_a_tenth_of_the_interval() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 1000))
        .layer(HeartbeatLayer::new(LIMITS, stats.clone()))
        .service(Serve::new(Echo).stats(stats.clone()));
    let mut peers = Vec::new();
    for _ in 0..1000 {
        let (io, server) = duplex(64);
        tokio::spawn(stack.call(server));
        peers.push(io);
        // One after another, as a real clock would see them.
        tokio::time::advance(Duration::from_micros(1)).await;
    }
    let mut sent = Vec::new();
    for tenth in 0..10 {
        let next = secs(30) + (tenth + 1) * Duration::from_millis(300) + Duration::from_millis(2);
        tokio::time::sleep_until(Instant::now() + next - stats_age(&stats)).await;
        sent.push(stats.heartbeats_sent.get());
    }
    assert_eq!(*sent.last().unwrap(), 1000, "within ten per cent");
    let evenly = sent.iter().zip(1..).all(|(&sent, tenth)| sent.abs_diff(tenth * 100) <= 10);
    assert!(evenly, "{sent:?}");
    drop(peers);
}

fn stats_age(stats: &Stats) -> Duration {
    Duration::from_nanos(stats.now().0)
}
