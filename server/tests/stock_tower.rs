//! A line stack of Tower's own layers, and what a service need not be.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the stack is used")]
#[path = "../examples/stock_tower.rs"]
mod stock_tower;

use std::{cell::Cell, net::SocketAddr, sync::Arc, time::Duration};

use stock_tower::{echo, line_stack, serve};
use support::shown::does_what_it_shows;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::{ServiceExt, util::BoxCloneService};
use towline::{BoxError, Lines, Server, service_fn};
use towline_middleware::stats::{LineResult, Stats};

/// Serves on a free port in the runtime of the caller.
async fn start(concurrency: usize, timeout: Duration) -> (SocketAddr, Arc<Stats>) {
    let stats = Arc::new(Stats::new(Instant::now()));
    let lines = line_stack(&stats, concurrency, timeout, service_fn(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = stats.clone();
    tokio::spawn(async move { serve(listener, &served, lines).await });
    (address, stats)
}

async fn ask(peer: &mut TcpStream, lines: &str, reply: &str) {
    peer.write_all(lines.as_bytes()).await.unwrap();
    let mut got = vec![0; reply.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), reply);
}

/// Not in any pieces: the slow line's timeout answers the lines that came with it.
#[test]
fn it_does_what_its_documentation_shows_in_a_server_as_well() {
    does_what_it_shows("stock_tower.rs", || {
        let stats = Arc::new(Stats::new(Instant::now()));
        let lines = line_stack(&stats, 4096, Duration::from_millis(500), service_fn(echo));
        Server::builder().threads(1).request_timeout(None).serve(lines)
    });
}

#[tokio::test]
async fn lines_are_served_through_tower_s_own_timeout_and_concurrency_limit() {
    let (address, stats) = start(1, Duration::from_secs(600)).await;
    // More idle connections than permits: none of them holds one.
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut peer = TcpStream::connect(address).await.unwrap();
    ask(&mut peer, "one\ntwo\n", "one\ntwo\n").await;
    for peer in &mut idle {
        ask(peer, "three\n", "three\n").await;
    }
    assert_eq!(stats.lines_processed[LineResult::Ok as usize].get(), 5);
}

#[tokio::test]
async fn the_timeout_covers_the_wait_for_a_permit_and_both_become_replies() {
    let (address, stats) = start(1, Duration::from_millis(50)).await;
    let mut hangs = TcpStream::connect(address).await.unwrap();
    let mut waits = TcpStream::connect(address).await.unwrap();
    hangs.write_all(b"slow\n").await.unwrap();
    // The permit is taken, so this line waits for it until its own timeout, or is served after the other's.
    waits.write_all(b"slow\n").await.unwrap();
    ask(&mut hangs, "", "ERR timeout\n").await;
    ask(&mut waits, "", "ERR timeout\n").await;
    assert_eq!(stats.lines_processed[LineResult::Timeout as usize].get(), 2);
    ask(&mut waits, "fast\n", "fast\n").await;
}

/// `Sync` was demanded of services because one layer kept them behind an `Arc`.
#[test]
fn a_service_need_not_be_sync() {
    let calls = Cell::new(0);
    let counts = service_fn(move |lines: Lines| {
        calls.set(calls.get() + 1);
        std::future::ready(Ok::<_, BoxError>(lines))
    });
    let server = support::serve(counts, |_| ());
    server.connect().ask("one\n", "one\n");

    let boxed = BoxCloneService::new(service_fn(echo).map_err(BoxError::from));
    let server = support::serve(boxed, |_| ());
    server.connect().ask("two\n", "two\n");
}
