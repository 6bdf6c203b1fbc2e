//! Clients that trickle, stall, read too little or fall silent, on a paused clock: which ones are closed,
//! and when.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, advance, sleep},
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramingLayer, Lines, LinesBatchCodec,
    heartbeat::{Deadlines, HeartbeatLayer, PROGRESS_BYTES},
    serve::Serve,
    stats::{CloseReason, Stats},
};
use towline_test_support::{DEADLINES, SupervisedClient, secs};

/// No `ping` comes into the way of what a client reads.
const NO_PING: Deadlines = DEADLINES.heartbeat(None, DEADLINES.heartbeat_timeout);

/// A service whose replies are longer than the pipe.
fn long_replies()
-> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + 'static {
    service_fn(|_| async { Ok(Lines::new("x".repeat(99_999) + "\n").unwrap()) })
}

#[tokio::test(start_paused = true)]
async fn fault_02_a_client_whose_lines_come_just_in_time_is_kept() {
    let mut client = SupervisedClient::new(NO_PING.idle(Some(secs(60))));
    for _ in 0..100 {
        // The first byte just within the idle timeout, the others just within the line deadline.
        sleep(secs(30)).await;
        for byte in ["l", "i", "n", "e"] {
            client.send(byte).await;
            sleep(secs(7)).await;
        }
        client.send("\n").await;
        client.expect("line\n").await;
    }
    assert!(!client.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn fault_01_a_trickling_client_is_closed_at_the_line_deadline_although_bytes_arrive() {
    let mut client = SupervisedClient::new(NO_PING);
    sleep(secs(7)).await;
    for _ in 0..7 {
        client.send("x").await;
        sleep(secs(4)).await;
    }
    // From the first byte, at 7 s; the last one, at 31 s, does not extend it.
    client.expect_end(CloseReason::ReadTimeout, secs(37)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_02_each_line_has_its_own_deadline() {
    let mut client = SupervisedClient::new(NO_PING);
    for _ in 0..10 {
        // The end of one line and the beginning of the next: each is in time.
        client.send("begin").await;
        sleep(secs(20)).await;
        client.send("\n").await;
        client.expect("begin\n").await;
    }
    let at = client.start.elapsed();
    client.send("never finished").await;
    client.expect_end(CloseReason::ReadTimeout, at + secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_line_for_the_idle_timeout_is_closed() {
    let mut client = SupervisedClient::new(NO_PING.idle(Some(secs(60))));
    sleep(secs(50)).await;
    client.send("a\n").await;
    client.expect("a\n").await;
    client.expect_end(CloseReason::IdleTimeout, secs(110)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_06_a_client_that_never_reads_is_closed_by_the_write_timeout() {
    let mut client = SupervisedClient::new(NO_PING);
    // More than the pipe holds, never read.
    client.send(&"x\n".repeat(512)).await;
    client.send(&"y\n".repeat(512)).await;
    client.expect_end(CloseReason::WriteTimeout, secs(10)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_07_progress_re_arms_the_write_timeout() {
    let mut client = SupervisedClient::of(NO_PING, long_replies());
    client.send("x\n").await;
    for _ in 0..8 {
        sleep(secs(9)).await;
        // As much as it must.
        client.io.read_exact(&mut [0; PROGRESS_BYTES as usize]).await.unwrap();
    }
    client.expect_end(CloseReason::WriteTimeout, secs(82)).await;
}

/// Any byte re-armed the timeout, so that a client that read one now and then kept its buffers, and those
/// of the server, full for ever.
#[tokio::test(start_paused = true)]
async fn fault_07_a_client_that_reads_a_byte_at_a_time_is_closed() {
    let mut client = SupervisedClient::of(NO_PING, long_replies());
    client.send("x\n").await;
    for _ in 0..99 {
        sleep(Duration::from_millis(100)).await;
        client.io.read_exact(&mut [0]).await.unwrap();
    }
    client.expect_end(CloseReason::WriteTimeout, secs(10)).await;
}

/// A client must not read more than there is.
#[tokio::test(start_paused = true)]
async fn fault_07_a_slow_client_that_reads_all_there_is_is_kept() {
    let mut client = SupervisedClient::new(NO_PING);
    let full = "x".repeat(900) + "\n";
    client.send(&full).await;
    for _ in 0..20 {
        client.send(&full).await;
        sleep(secs(9)).await;
        client.io.read_exact(&mut [0; 901]).await.unwrap();
    }
    client.io.read_exact(&mut [0; 901]).await.unwrap();
    assert!(!client.end.is_finished());
}

/// Every deadline passed while the process was suspended, and every connection was closed when it went
/// on.
#[tokio::test(start_paused = true)]
async fn fault_25_deadlines_are_extended_by_a_suspension_that_the_watchdog_notices() {
    let minute = Duration::from_secs(60);
    let deadlines =
        Deadlines::new().heartbeat(Some(minute), minute).idle(Some(3 * minute)).line(Some(minute));
    for watched in [false, true] {
        let stats = Arc::new(Stats::new(Instant::now()));
        let heartbeat = HeartbeatLayer::new(deadlines, stats.clone());
        let watchdog = watched.then(|| tokio::spawn(heartbeat.clone().run_watchdog()));
        let mut stack = ServiceBuilder::new()
            .layer(FramingLayer::new(LinesBatchCodec::new, 99))
            .layer(heartbeat)
            .service(Serve::unboxed(Echo).stats(stats.clone()));
        let (mut client, server) = duplex(64);
        let connection = stack.call(server);
        let end = tokio::spawn(async move { connection.await.unwrap() });
        client.read_exact(&mut [0; 5]).await.unwrap();
        advance(10 * minute).await;
        if watched {
            tokio::time::sleep(minute / 2).await;
            client.write_all(b"pong\nhere\nhalf").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            let start = Instant::now();
            assert_eq!(end.await.unwrap(), CloseReason::ReadTimeout, "deadlines go on");
            assert_eq!(start.elapsed().as_secs(), 60);
        } else {
            assert_eq!(end.await.unwrap(), CloseReason::HeartbeatTimeout);
        }
        if let Some(watchdog) = watchdog {
            watchdog.abort();
        }
    }
}
