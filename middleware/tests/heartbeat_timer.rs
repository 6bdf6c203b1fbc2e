//! The one timer of a supervised connection, called as the serving loop calls it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    future::ready,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, advance, sleep},
};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    Echo, FramedTransport, FramingLayer, Lines, LinesBatchCodec, Transport,
    drain::{self, Watch},
    heartbeat::{Deadlines, HeartbeatLayer, HeartbeatTransport, PROGRESS_BYTES},
    internal::{BufferedBytes, Expired, Parked, Phase},
    serve::Serve,
    stats::{CloseReason, Nanos, Stats},
};
use towline_test_support::{End, FaultyIo, Step};

const LIMITS: Deadlines = Deadlines::new()
    .heartbeat(None, Duration::from_secs(10))
    .idle(Some(Duration::from_secs(30)))
    .write(Some(Duration::from_secs(10)));

type Supervised = HeartbeatTransport<FramedTransport<FaultyIo, LinesBatchCodec>>;

async fn supervised(io: FaultyIo, stats: &Arc<Stats>) -> Pin<Box<Supervised>> {
    let pass = service_fn(|transport: Supervised| ready(Ok::<_, Infallible>(transport)));
    let mut layer = HeartbeatLayer::new(LIMITS, stats.clone()).layer(pass);
    Box::pin(layer.call(FramedTransport::new(io, LinesBatchCodec::new(99))).await.unwrap())
}

fn expired(transport: &mut Pin<Box<Supervised>>, now: Nanos, phase: Phase) -> Poll<Expired> {
    let mut holding = transport.as_mut().park();
    let mut cx = Context::from_waker(Waker::noop());
    let parked = Parked { now, phase, same_task: false };
    let mut wake = Watch::never().registration();
    transport.as_mut().poll_expired(&mut cx, parked, &mut wake.entry(), &mut holding)
}

/// A task read the clock, was preempted, and polled its timer; meanwhile another thread of the runtime had
/// moved the timers past the deadline. The timer had fired, but by the clock as read the deadline was not
/// reached, so the timer was armed again, had fired again, and so on until the task's budget was used up:
/// the clock was never read again.
#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_after_the_clock_was_read_ends_the_wait() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut transport = supervised(FaultyIo::new("").end(End::Silence), &stats).await;
    let before = stats.now();
    assert!(expired(&mut transport, before, Phase::Reading).is_pending());
    advance(Duration::from_secs(31)).await;
    assert_eq!(expired(&mut transport, before, Phase::Reading), Poll::Ready(Expired::Idle));
}

/// A connection that yielded between two reads discarded what `park` returned, and with it the number of
/// bytes that the socket had taken: a slow reader whose progress came at those moments was closed by the
/// write timeout.
#[tokio::test(start_paused = true)]
async fn progress_reported_in_a_yield_re_arms_the_write_timeout() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let io = FaultyIo::new("")
        .end(End::Silence)
        .writes([Step::Pending, Step::Take(PROGRESS_BYTES.into())]);
    let mut transport = supervised(io.then_stuck(), &stats).await;
    let mut cx = Context::from_waker(Waker::noop());
    transport.start_send_unpin(Lines::new("12345678\n".repeat(1000)).unwrap()).unwrap();
    assert!(transport.poll_flush_unpin(&mut cx).is_pending());
    assert!(expired(&mut transport, stats.now(), Phase::Blocked).is_pending());

    advance(Duration::from_secs(9)).await;
    assert!(transport.poll_flush_unpin(&mut cx).is_pending());
    // A yield: no deadline is checked.
    let holding = transport.as_mut().park();
    let write_bytes = 9000 - usize::from(PROGRESS_BYTES);
    assert_eq!(
        holding,
        BufferedBytes { read_bytes: 0, write_bytes, written_bytes: PROGRESS_BYTES }
    );

    assert!(expired(&mut transport, stats.now(), Phase::Blocked).is_pending());
    advance(Duration::from_secs(9)).await;
    assert!(expired(&mut transport, stats.now(), Phase::Blocked).is_pending());
    advance(Duration::from_secs(2)).await;
    assert_eq!(expired(&mut transport, stats.now(), Phase::Blocked), Poll::Ready(Expired::Write));
}

/// The deadline is compared when the timer fires; the timer is not reset by each line. An hour of lines
/// costs one more wake-up per interval, and leaves no timer behind.
#[tokio::test(start_paused = true)]
async fn fault_38_a_busy_connection_is_woken_by_its_timer_once_an_interval() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let (mut peer, server) = duplex(64);
    let limits = LIMITS.heartbeat(Some(Duration::from_secs(30)), LIMITS.heartbeat_timeout);
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(HeartbeatLayer::new(limits, stats.clone()))
        .service(Serve::new(Echo).stats(stats.clone()));
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let connection = stack.call(server);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        std::future::poll_fn(|cx| {
            counted.fetch_add(1, Relaxed);
            connection.as_mut().poll(cx)
        })
        .await
    });
    const LINES: usize = 3600;
    for _ in 0..LINES {
        peer.write_all(b"a\n").await.unwrap();
        peer.read_exact(&mut [0; 2]).await.unwrap();
        // Never at the same time as the timer.
        sleep(Duration::from_millis(1_001)).await;
    }
    let timer = polls.load(Relaxed) - LINES;
    assert!((100..=LINES / 30 + 5).contains(&timer), "{timer} wake-ups beside {LINES} lines");
    assert_eq!(stats.heartbeats_sent.get(), 0);
}

/// The timer of a connection fired before the watchdog ran. By the clock without the suspension the
/// deadline was not reached, so the timer was armed again, for a moment that had passed by the other
/// clock: it fired at once, and so on, and the thread never got to the watchdog.
#[tokio::test(start_paused = true)]
async fn fault_25_a_connection_that_wakes_before_the_watchdog_after_a_suspension_waits_on() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let minute = Duration::from_secs(60);
    let heartbeat = HeartbeatLayer::new(Deadlines::new().idle(Some(minute)), stats.clone());
    let mut watchdog = task::spawn(heartbeat.clone().run_watchdog());
    let (_peer, server) = duplex(64);
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(heartbeat)
        .service(Serve::unboxed(Echo).stats(stats));
    let mut connection = task::spawn(stack.call(server));
    assert_pending!(watchdog.poll());
    assert_pending!(connection.poll());

    advance(10 * minute).await;
    assert!(connection.is_woken());
    assert_pending!(connection.poll());
    // Both go on from there.
    let resumed = Instant::now();
    let reason = loop {
        assert_pending!(watchdog.poll());
        if let Poll::Ready(reason) = connection.poll() {
            break reason;
        }
        advance(Duration::from_millis(251)).await;
    };
    assert_eq!(reason.unwrap(), CloseReason::IdleTimeout);
    assert!((minute..minute + Duration::from_secs(1)).contains(&resumed.elapsed()));
}

/// Connections that are woken by the timers of their shard: their clients, and why each ended.
fn on_shard(
    watch: &Watch,
    stats: &Arc<Stats>,
    deadlines: Deadlines,
) -> (tokio::io::DuplexStream, tokio::task::JoinHandle<(CloseReason, Instant)>) {
    let (client, server) = duplex(64);
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(HeartbeatLayer::new(deadlines, stats.clone()))
        .service(Serve::new(Echo).stats(stats.clone()).drain(watch.clone()));
    let connection = stack.call(server);
    (client, tokio::spawn(async move { (connection.await.unwrap(), Instant::now()) }))
}

/// A deadline that is set later and passes sooner must wake the task that waits for the first one.
#[tokio::test(start_paused = true)]
async fn the_timers_of_a_shard_end_each_connection_at_its_own_deadline() {
    let begun = Instant::now();
    let stats = Arc::new(Stats::new(begun));
    let (signal, watch) = drain::channel();
    tokio::spawn(signal.timers(stats.clock()).run());
    let seconds = [40, 300, 5, 80];
    let connections: Vec<_> = seconds
        .into_iter()
        .map(|seconds| {
            let deadlines = Deadlines::new().idle(Some(Duration::from_secs(seconds)));
            on_shard(&watch, &stats, deadlines)
        })
        .collect();
    for ((_client, ended), seconds) in connections.into_iter().zip(seconds) {
        let (reason, at) = ended.await.unwrap();
        assert_eq!(reason, CloseReason::IdleTimeout);
        let late = at.duration_since(begun).abs_diff(Duration::from_secs(seconds));
        // Deadlines are rounded up by a 256th at most, and timers to the next millisecond.
        let most = Duration::from_secs(seconds) / 256 + Duration::from_millis(20);
        assert!(late <= most, "{late:?} after {seconds} s");
    }
}

/// A line moves the deadline; the time that was set before must not be missed, nor be taken for it.
#[tokio::test(start_paused = true)]
async fn a_connection_of_a_shard_lives_as_long_as_its_client_sends_lines() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let (signal, watch) = drain::channel();
    tokio::spawn(signal.timers(stats.clock()).run());
    let deadlines = Deadlines::new().idle(Some(Duration::from_secs(10)));
    let (mut client, ended) = on_shard(&watch, &stats, deadlines);
    for _ in 0..100 {
        client.write_all(b"a\n").await.unwrap();
        client.read_exact(&mut [0; 2]).await.unwrap();
        sleep(Duration::from_secs(9)).await;
    }
    assert!(!ended.is_finished());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(client.read(&mut [0; 2]).await.unwrap(), 0);
    drop(client);
    assert_eq!(ended.await.unwrap().0, CloseReason::IdleTimeout);
}
