//! Pings, on a paused clock: when they are sent, what answers them, and clients that do not.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{convert::Infallible, io::ErrorKind, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramedTransport, FramingLayer, LineError, Lines, LinesBatchCodec,
    heartbeat::{Deadlines, HeartbeatLayer, HeartbeatTransport},
    serve::Serve,
    stats::{CloseReason, Stats},
};
use towline_test_support::{DEADLINES, SupervisedClient, assert_on_time, secs};

/// The timer was armed for the end of the heartbeat timeout and stayed there after the answer. With a
/// timeout longer than the interval the next ping was late by the difference, or never sent.
#[tokio::test(start_paused = true)]
async fn the_next_ping_comes_an_interval_after_the_answer() {
    let mut client =
        SupervisedClient::new(DEADLINES.heartbeat(DEADLINES.heartbeat_interval, secs(600)));
    client.expect("ping\n").await;
    for _ in 0..3 {
        let answered = Instant::now();
        client.send("pong\n").await;
        client.expect("ping\n").await;
        let waited = answered.elapsed();
        assert!((secs(30)..=secs(34)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_silent_client_is_pinged_then_closed() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    assert_on_time(client.start.elapsed(), secs(30));
    let stats = client.stats.clone();
    client.expect_silence(Duration::from_millis(9_900)).await;
    client.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
    assert_eq!((stats.heartbeats_sent.get(), stats.heartbeats_missed.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_pong_is_not_echoed_and_a_second_one_is_an_ordinary_line() {
    let mut client = SupervisedClient::new(DEADLINES);
    for _ in 0..3 {
        client.expect("ping\n").await;
        client.send("pong\n").await;
        client.expect_silence(secs(1)).await;
        client.send("pong\n").await;
        client.expect("pong\n").await;
    }
    assert_eq!((client.stats.heartbeats_sent.get(), client.stats.heartbeats_missed.get()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_pong_without_a_ping_is_an_ordinary_line() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.send("pong\n").await;
    client.expect("pong\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_line_sent_before_the_pong_does_not_make_the_pong_an_ordinary_line() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    client.send("sent before\n").await;
    client.expect("sent before\n").await;
    client.send("pong\n").await;
    client.expect_silence(secs(1)).await;

    // All in one read: only the first pong is removed.
    sleep(secs(30)).await;
    client.expect("ping\n").await;
    client.send("a\nb\npong\nc\npong\n").await;
    client.expect("a\nb\nc\npong\n").await;
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_pong_later_than_the_timeout_is_an_ordinary_line() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    client.send("alive\n").await;
    client.expect("alive\n").await;
    sleep(secs(11)).await;
    client.send("pong\n").await;
    client.expect("pong\n").await;
}

#[tokio::test(start_paused = true)]
async fn fault_38_an_answer_that_comes_too_late_keeps_no_connection() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    sleep(secs(11)).await;
    assert!(client.io.write_all(b"pong\n").await.is_err(), "the connection is closed");
    assert_eq!(client.io.read(&mut [0; 1]).await.unwrap(), 0, "nothing more is sent");
    assert_eq!((client.stats.heartbeats_sent.get(), client.stats.heartbeats_missed.get()), (1, 1));
    client.expect_end(CloseReason::HeartbeatTimeout, secs(41)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_flood_of_heartbeats_is_a_flood_of_lines() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    // The answer to the ping is removed, the others come back like any line.
    client.send("pong\nping\npong\n").await;
    client.expect("ping\npong\n").await;
    for _ in 0..1000 {
        client.send("pong\nping\n").await;
        client.expect("pong\nping\n").await;
    }
    // The next ping comes neither earlier nor later for it.
    let flooded = Instant::now();
    client.expect("ping\n").await;
    assert!((secs(30)..=secs(34)).contains(&flooded.elapsed()), "{:?}", flooded.elapsed());
    assert_eq!(client.stats.heartbeats_sent.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn fault_38_any_line_answers_a_ping() {
    let mut client = SupervisedClient::new(DEADLINES);
    client.expect("ping\n").await;
    sleep(secs(9)).await;
    client.send("busy\n").await;
    client.expect("busy\n").await;
    client.expect_silence(Duration::from_millis(29_900)).await;
    client.expect("ping\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_lines_is_not_pinged() {
    let mut client = SupervisedClient::new(DEADLINES);
    for _ in 0..20 {
        sleep(secs(29)).await;
        client.send("here\n").await;
        client.expect("here\n").await;
    }
    assert_eq!(client.stats.heartbeats_sent.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_without_a_newline_do_not_put_off_the_ping() {
    let mut client = SupervisedClient::new(DEADLINES.line(None));
    for _ in 0..13 {
        client.send("x").await;
        sleep(secs(3)).await;
    }
    client.expect("ping\n").await;
    client.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
}

#[tokio::test(start_paused = true)]
async fn no_ping_is_sent_while_a_line_is_served_and_the_time_is_no_silence_of_the_client() {
    let slow = service_fn(|lines: Lines| async move {
        sleep(secs(300)).await;
        Ok::<_, BoxError>(lines)
    });
    let mut client = SupervisedClient::of(DEADLINES.idle(Some(secs(40))), slow);
    client.send("slow\nhalf").await;
    client.expect("slow\n").await;
    assert_on_time(client.start.elapsed(), secs(300));
    assert_eq!(client.stats.heartbeats_sent.get(), 0);
    // Deadlines begin with the reply: that of the unfinished line too.
    client.expect_end(CloseReason::ReadTimeout, secs(330)).await;
}

#[tokio::test(start_paused = true)]
async fn first_pings_are_spread_over_a_tenth_of_the_interval() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 1000))
        .layer(HeartbeatLayer::new(DEADLINES, stats.clone()))
        .service(Serve::new(Echo).stats(stats.clone()));
    let mut clients = Vec::new();
    for _ in 0..1000 {
        let (io, server) = duplex(64);
        tokio::spawn(stack.call(server));
        clients.push(io);
        // One after another, as on a real clock.
        tokio::time::advance(Duration::from_micros(1)).await;
    }
    let mut sent = Vec::new();
    for tenth in 0..10 {
        // Timers fire together, late by up to the 256th part of their wait.
        let next = secs(30) + (tenth + 1) * Duration::from_millis(300) + secs(30) / 256;
        tokio::time::sleep_until(Instant::now() + next - stats_age(&stats)).await;
        sent.push(stats.heartbeats_sent.get());
    }
    assert_eq!(*sent.last().unwrap(), 1000, "within ten percent");
    let evenly = sent.iter().zip(1..).all(|(&sent, tenth)| sent.abs_diff(tenth * 100) <= 50);
    assert!(evenly, "{sent:?}");
    drop(clients);
}

fn stats_age(stats: &Stats) -> Duration {
    Duration::from_nanos(stats.now().0)
}

/// A supervised connection, for a loop of the test's own.
async fn supervised(
    deadlines: Deadlines,
    io: DuplexStream,
) -> HeartbeatTransport<FramedTransport<DuplexStream, LinesBatchCodec>> {
    let stats = Arc::new(Stats::new(Instant::now()));
    let transport = service_fn(async |transport| Ok::<_, Infallible>(transport));
    let mut stack = HeartbeatLayer::new(deadlines, stats).layer(transport);
    let Ok(transport) = stack.call(FramedTransport::new(io, LinesBatchCodec::new(99))).await;
    transport
}

/// Driven by another loop than `Serve`, the transport neither pinged nor ended: deadlines were checked in
/// methods that `Serve` alone calls. A program that used it as a `Stream + Sink` kept dead peers for ever.
#[tokio::test(start_paused = true)]
async fn fault_38_a_plain_stream_pings_a_silent_client_and_ends_if_it_does_not_answer() {
    let (mut client, io) = duplex(64);
    let mut stream = supervised(DEADLINES, io).await;
    let start = Instant::now();
    let served = tokio::spawn(async move {
        let lines = stream.next().await.unwrap().unwrap();
        stream.send(lines).await.unwrap();
        stream.next().await.unwrap().unwrap_err()
    });
    for (answer, reply) in [("pong\n", ""), ("line\n", "line\n")] {
        let mut ping = [0; 5];
        client.read_exact(&mut ping).await.unwrap();
        assert_eq!(&ping, b"ping\n");
        client.write_all(answer.as_bytes()).await.unwrap();
        let mut got = vec![0; reply.len()];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, reply.as_bytes());
    }
    let answered = start.elapsed();
    client.read_exact(&mut [0; 5]).await.unwrap();
    let error = served.await.unwrap();
    assert_eq!(error.to_string(), "the peer did not answer a ping in time");
    assert!(matches!(error, LineError::Io(error) if error.kind() == ErrorKind::TimedOut));
    let waited = start.elapsed() - answered;
    assert!((secs(40)..=secs(44)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plain_stream_writes_its_ping_when_the_client_reads_again_and_ends_at_each_deadline() {
    // The client's side is full: a ping does not fit until it reads.
    let (mut client, io) = duplex(4);
    let mut stream = supervised(DEADLINES, io).await;
    let served = tokio::spawn(async move { stream.next().await.unwrap().unwrap_err() });
    sleep(secs(35)).await;
    client.read_exact(&mut [0; 5]).await.unwrap();
    client.write_all(b"ha").await.unwrap();
    assert!(served.await.unwrap().to_string().contains("in time"));

    let idle = Deadlines::new().idle(Some(secs(60)));
    let line = Deadlines::new().line(Some(secs(20)));
    for (deadlines, ends) in [(idle, secs(60)), (line, secs(20))] {
        let (mut client, io) = duplex(64);
        let mut stream = supervised(deadlines, io).await;
        client.write_all(b"half").await.unwrap();
        let start = Instant::now();
        stream.next().await.unwrap().unwrap_err();
        assert_on_time(start.elapsed(), ends);
    }
}
