//! The one timer of a supervised connection, asked through the door the serving loop uses.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

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
use support::{End, FaultyIo, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, advance, sleep},
};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    Echo, FramedTransport, FramingLayer, Lines, LinesBatchCodec, Transport,
    heartbeat::{Deadlines, HeartbeatLayer, HeartbeatTransport, PROGRESS_BYTES},
    internal::{BufferedBytes, Expired, Parked, Phase},
    serve::Serve,
    stats::{CloseReason, Nanos, Stats},
};

const LIMITS: Deadlines = Deadlines::new()
    .heartbeat(None, Duration::from_secs(10))
    .idle(Some(Duration::from_secs(30)))
    .write(Some(Duration::from_secs(10)));

type Supervised = HeartbeatTransport<FramedTransport<FaultyIo, LinesBatchCodec>>;

async fn supervised(io: FaultyIo, stats: &Arc<Stats>) -> Pin<Box<Supervised>> {
    let pass = service_fn(|wire: Supervised| ready(Ok::<_, Infallible>(wire)));
    let mut layer = HeartbeatLayer::new(LIMITS, stats.clone()).layer(pass);
    Box::pin(layer.call(FramedTransport::new(io, LinesBatchCodec::new(99))).await.unwrap())
}

fn lapse(wire: &mut Pin<Box<Supervised>>, now: Nanos, phase: Phase) -> Poll<Expired> {
    let mut holding = wire.as_mut().park();
    let mut cx = Context::from_waker(Waker::noop());
    let parked = Parked { now, phase, same_task: false };
    wire.as_mut().poll_expired(&mut cx, parked, &mut holding)
}

/// A task reads the clock, is put aside by the scheduler, and asks its timer: meanwhile another
/// thread of the runtime moved the timers past the deadline. The timer had fired, the deadline was
/// not reached by the clock as read, so the timer was armed again, had fired again, and so on until
/// the task's budget was used up: the clock was never read anew.
#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_between_two_looks_at_the_clock_ends_the_wait() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut wire = supervised(FaultyIo::new("").end(End::Silence), &stats).await;
    let before = stats.now();
    assert!(lapse(&mut wire, before, Phase::Reading).is_pending());
    advance(Duration::from_secs(31)).await;
    assert_eq!(lapse(&mut wire, before, Phase::Reading), Poll::Ready(Expired::Idle));
}

/// A connection that gave way between two reads asked what it holds and threw the answer away, and
/// with it the news that the socket had taken some bytes: a slow reader whose progress fell into
/// those moments was cut by the write timeout.
#[tokio::test(start_paused = true)]
async fn progress_told_while_giving_way_still_re_arms_the_write_timeout() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let io = FaultyIo::new("")
        .end(End::Silence)
        .writes([Step::Pending, Step::Take(PROGRESS_BYTES.into())]);
    let mut wire = supervised(io.then_stuck(), &stats).await;
    let mut cx = Context::from_waker(Waker::noop());
    wire.start_send_unpin(Lines::new("12345678\n".repeat(1000)).unwrap()).unwrap();
    assert!(wire.poll_flush_unpin(&mut cx).is_pending());
    assert!(lapse(&mut wire, stats.now(), Phase::Blocked).is_pending());

    advance(Duration::from_secs(9)).await;
    assert!(wire.poll_flush_unpin(&mut cx).is_pending());
    // Gives way: no deadline is looked at.
    let holding = wire.as_mut().park();
    let write_bytes = 9000 - usize::from(PROGRESS_BYTES);
    assert_eq!(
        holding,
        BufferedBytes { read_bytes: 0, write_bytes, written_bytes: PROGRESS_BYTES }
    );

    assert!(lapse(&mut wire, stats.now(), Phase::Blocked).is_pending());
    advance(Duration::from_secs(9)).await;
    assert!(lapse(&mut wire, stats.now(), Phase::Blocked).is_pending());
    advance(Duration::from_secs(2)).await;
    assert_eq!(lapse(&mut wire, stats.now(), Phase::Blocked), Poll::Ready(Expired::Write));
}

/// The timer is compared when it fires, not reset at each line: an hour of lines costs a wake-up
/// more an interval, and no timer stays behind to wake anybody later.
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
        // Never at the same moment as the timer.
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
    assert_eq!(reason, Ok(CloseReason::IdleTimeout));
    assert!((minute..minute + Duration::from_secs(1)).contains(&resumed.elapsed()));
}
