//! A supervised connection on a paused clock: the peer hears, answers, or is given up.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/peer.rs"]
mod peer;
mod support;

use std::{sync::Arc, time::Duration};

use peer::{LIMITS, Peer, assert_on_time, secs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramingLayer, Lines, LinesBatchCodec,
    heartbeat::HeartbeatLayer,
    serve::Serve,
    stats::{CloseReason, Stats},
};

/// The timer stood at the end of the time to answer, and was left there when the answer came: with
/// a timeout longer than the interval the next ping was late by the difference, or never sent.
#[tokio::test(start_paused = true)]
async fn an_answer_brings_the_next_ping_forward_to_an_interval_from_then() {
    let mut peer = Peer::new(LIMITS.heartbeat(LIMITS.heartbeat_interval, secs(600)));
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
async fn fault_38_a_quiet_peer_is_pinged_then_closed() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    assert_on_time(peer.begun.elapsed(), secs(30));
    let stats = peer.stats.clone();
    peer.expect_silence(Duration::from_millis(9_900)).await;
    peer.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
    assert_eq!((stats.heartbeats_sent.get(), stats.heartbeats_missed.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_pong_is_not_echoed_and_a_second_one_is_an_ordinary_line() {
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
async fn fault_38_a_pong_without_a_ping_is_an_ordinary_line() {
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
async fn fault_38_a_pong_later_than_the_timeout_is_an_ordinary_line() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    peer.send("alive\n").await;
    peer.expect("alive\n").await;
    sleep(secs(11)).await;
    peer.send("pong\n").await;
    peer.expect("pong\n").await;
}

#[tokio::test(start_paused = true)]
async fn fault_38_an_answer_that_comes_too_late_revives_nothing() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    sleep(secs(11)).await;
    assert!(peer.io.write_all(b"pong\n").await.is_err(), "there is nobody to hear it");
    assert_eq!(peer.io.read(&mut [0; 1]).await.unwrap(), 0, "and nothing is said to it");
    assert_eq!((peer.stats.heartbeats_sent.get(), peer.stats.heartbeats_missed.get()), (1, 1));
    peer.expect_end(CloseReason::HeartbeatTimeout, secs(41)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_38_a_flood_of_heartbeats_is_a_flood_of_lines() {
    let mut peer = Peer::new(LIMITS);
    peer.expect("ping\n").await;
    // The one that was asked for is consumed, the others come back like any line.
    peer.send("pong\nping\npong\n").await;
    peer.expect("ping\npong\n").await;
    for _ in 0..1000 {
        peer.send("pong\nping\n").await;
        peer.expect("pong\nping\n").await;
    }
    // It is pinged no more often for it, and no later.
    let flooded = Instant::now();
    peer.expect("ping\n").await;
    assert!((secs(30)..=secs(34)).contains(&flooded.elapsed()), "{:?}", flooded.elapsed());
    assert_eq!(peer.stats.heartbeats_sent.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn fault_38_any_line_answers_a_ping() {
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
async fn bytes_that_never_become_a_line_are_no_life() {
    let mut peer = Peer::new(LIMITS.line(None));
    for _ in 0..13 {
        peer.send("x").await;
        sleep(secs(3)).await;
    }
    peer.expect("ping\n").await;
    peer.expect_end(CloseReason::HeartbeatTimeout, secs(40)).await;
}

#[tokio::test(start_paused = true)]
async fn no_ping_goes_out_while_a_line_is_served_and_the_silence_is_not_the_peers() {
    let slow = service_fn(|lines: Lines| async move {
        sleep(secs(300)).await;
        Ok::<_, BoxError>(lines)
    });
    let mut peer = Peer::of(LIMITS.idle(Some(secs(40))), slow);
    peer.send("slow\nhalf").await;
    peer.expect("slow\n").await;
    assert_on_time(peer.begun.elapsed(), secs(300));
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
        // Timers fire in company, up to the 256th part of their wait late.
        let next = secs(30) + (tenth + 1) * Duration::from_millis(300) + secs(30) / 256;
        tokio::time::sleep_until(Instant::now() + next - stats_age(&stats)).await;
        sent.push(stats.heartbeats_sent.get());
    }
    assert_eq!(*sent.last().unwrap(), 1000, "within ten per cent");
    let evenly = sent.iter().zip(1..).all(|(&sent, tenth)| sent.abs_diff(tenth * 100) <= 50);
    assert!(evenly, "{sent:?}");
    drop(peers);
}

fn stats_age(stats: &Stats) -> Duration {
    Duration::from_nanos(stats.now().0)
}
