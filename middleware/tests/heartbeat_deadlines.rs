//! Peers that trickle, stall or read too little, on a paused clock: which deadlines close them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/peer.rs"]
mod peer;
mod support;

use std::time::Duration;

use peer::{NO_PING, Peer, long_replies, secs};
use tokio::{io::AsyncReadExt, time::sleep};
use towline_middleware::{
    heartbeat::PROGRESS_BYTES, internal::run_close_pacer, stats::CloseReason,
};

#[tokio::test(start_paused = true)]
async fn fault_02_a_peer_whose_lines_come_just_in_time_stays() {
    let mut peer = Peer::new(NO_PING.idle(Some(secs(60))));
    for _ in 0..100 {
        // The first byte late for an idle peer, the rest one by one, late for a slow one.
        sleep(secs(30)).await;
        for byte in ["l", "i", "n", "e"] {
            peer.send(byte).await;
            sleep(secs(7)).await;
        }
        peer.send("\n").await;
        peer.expect("line\n").await;
    }
    assert!(!peer.end.is_finished());
}

#[tokio::test(start_paused = true)]
async fn fault_01_a_trickling_peer_lapses_at_the_line_deadline_although_bytes_arrive() {
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
async fn fault_02_each_line_has_its_own_deadline() {
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
    let mut peer = Peer::new(NO_PING.idle(Some(secs(60))));
    sleep(secs(50)).await;
    peer.send("a\n").await;
    peer.expect("a\n").await;
    peer.expect_end(CloseReason::IdleTimeout, secs(110)).await;
}

#[tokio::test(start_paused = true)]
async fn fault_06_a_stuck_reader_stalls_out() {
    let mut peer = Peer::new(NO_PING);
    // More than the pipe holds, never read.
    peer.send(&"x\n".repeat(512)).await;
    peer.send(&"y\n".repeat(512)).await;
    peer.expect_end(CloseReason::WriteTimeout, secs(10)).await;
}

/// A thousand flooding peers whose time was up at once were closed in a row, each as long as many
/// a line, came back at once and flooded again; connections with a line waited for all of them.
#[tokio::test(start_paused = true)]
async fn fault_06_peers_whose_time_is_up_at_once_are_cut_over_a_while() {
    tokio::spawn(run_close_pacer());
    let mut peers: Vec<_> = (0..100).map(|_| Peer::new(NO_PING)).collect();
    for peer in &mut peers {
        peer.send("x").await;
    }
    // Until each has seen its byte and parked.
    sleep(secs(1)).await;
    tokio::time::advance(secs(60)).await;
    let cut = || peers.iter().filter(|peer| peer.end.is_finished()).count();
    let mut before = cut();
    for _ in 0..2 * peers.len() {
        sleep(Duration::from_millis(1)).await;
        let now = cut();
        assert!(now - before <= 2, "{} in a millisecond", now - before);
        before = now;
    }
    assert_eq!(before, peers.len());
}

#[tokio::test(start_paused = true)]
async fn fault_07_progress_re_arms_the_write_timeout() {
    let mut peer = Peer::of(NO_PING, long_replies());
    peer.send("x\n").await;
    for _ in 0..8 {
        sleep(secs(9)).await;
        // What it owes, and what the pipe holds more.
        peer.io.read_exact(&mut [0; PROGRESS_BYTES as usize]).await.unwrap();
    }
    peer.expect_end(CloseReason::WriteTimeout, secs(82)).await;
}

/// Any byte re-armed the timeout, so a peer that took one now and then kept its full buffers, and
/// the server's, for as long as it liked.
#[tokio::test(start_paused = true)]
async fn fault_07_a_peer_that_takes_a_byte_at_a_time_is_cut_all_the_same() {
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
async fn fault_07_a_slow_peer_that_takes_all_there_is_stays() {
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
