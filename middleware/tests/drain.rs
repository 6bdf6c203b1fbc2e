//! Drains: of all connections and of a share, of busy and idle ones, and the linger at their end.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};
use tower::ServiceBuilder;
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{
    Echo, FramedTransport, FramingLayer, Lines, LinesBatchCodec, drain,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::{ConnectionConfig, LINGER, Serve},
    stats::{CloseReason, Stats},
};
use towline_test_support::FaultyIo;

const LINE_BYTES_MAX: usize = 64 * 1024;

/// A client, and the end of its connection.
fn connect(mut serve: Serve<Echo>) -> (DuplexStream, JoinHandle<CloseReason>) {
    let (client, server) = duplex(LINE_BYTES_MAX);
    let codec = LinesBatchCodec::new(LINE_BYTES_MAX);
    let connection = serve.call(FramedTransport::new(server, codec));
    (client, tokio::spawn(async move { connection.await.unwrap() }))
}

fn echo(watch: &drain::Watch) -> Serve<Echo> {
    Serve::unboxed(Echo).drain(watch.clone())
}

#[tokio::test(start_paused = true)]
async fn a_line_in_service_is_answered_then_the_server_half_closes_and_lingers() {
    let (service, mut handle) = mock::pair::<Lines, Lines>();
    let (signal, watch) = drain::channel();
    let (mut client, server) = duplex(LINE_BYTES_MAX);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(LINE_BYTES_MAX));
    let connection = tokio::spawn(Serve::new(service).drain(watch).call(transport));

    client.write_all(b"in service\nnot a li").await.unwrap();
    handle.allow(1);
    let (_, reply) = handle.next_request().await.unwrap();
    signal.drain();
    yield_now().await;
    assert!(!connection.is_finished(), "a line that was taken is answered");

    reply.send_response(Lines::new("IN SERVICE\n").unwrap());
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"IN SERVICE\n");
    let half_closed = Instant::now();
    client.write_all(b"ne\nignored\n").await.unwrap();
    yield_now().await;
    assert!(!connection.is_finished(), "the client's side is still open");

    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::Drain);
    let lingered = half_closed.elapsed();
    assert!((LINGER..LINGER + Duration::from_millis(2)).contains(&lingered), "{lingered:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_at_once_if_the_client_closes_too() {
    let (signal, watch) = drain::channel();
    let (mut client, end) = connect(echo(&watch));
    client.write_all(b"a\n").await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();

    let start = Instant::now();
    signal.drain();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop(client);
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_during_a_drain_ends_without_reading_a_line() {
    let (signal, watch) = drain::channel();
    signal.drain();
    let io = FaultyIo::new("late\n");
    let record = io.record();
    let transport = FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX));
    assert_eq!(echo(&watch).call(transport).await.unwrap(), CloseReason::Drain);
    assert_eq!(record.output(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_client_never_pauses_drains() {
    let (signal, watch) = drain::channel();
    let (client, end) = connect(echo(&watch));
    let (mut from, mut to) = tokio::io::split(client);
    let flood = tokio::spawn(async move {
        let block = "abc\n".repeat(8 * 1024);
        while to.write_all(block.as_bytes()).await.is_ok() {}
    });

    let mut got = vec![0; 1 << 20];
    from.read_exact(&mut got).await.unwrap();
    signal.drain();
    from.read_to_end(&mut got).await.unwrap();
    assert!(got.chunks(4).all(|line| line == b"abc\n"), "no line is cut");
    flood.abort();
    let _cancelled = flood.await;
    drop(from);
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_share_ends_that_share_of_the_connections_and_no_new_one() {
    let (signal, watch) = drain::channel();
    let mut connections: Vec<_> = (0..10).map(|_| connect(echo(&watch))).collect();
    yield_now().await;
    for (share, drained) in [(0.0, 0), (0.35, 3), (0.2, 3), (0.8, 8), (1.0, 10)] {
        signal.drain_share(share);
        for (at, (client, _)) in connections.iter_mut().enumerate() {
            // A connection that lingers reads and discards it.
            client.write_all(b"a\n").await.unwrap();
            let answered = client.read(&mut [0; 2]).await.unwrap();
            assert_eq!(answered, if at < drained { 0 } else { 2 }, "{at} at {share}");
        }
    }
    assert!(!watch.is_draining());
    let (mut new, end) = connect(echo(&watch));
    yield_now().await;
    signal.drain();
    assert_eq!(new.read(&mut [0; 2]).await.unwrap(), 0);
    drop((new, connections));
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
}

#[tokio::test(start_paused = true)]
async fn the_linger_lasts_as_long_as_configured_and_a_connection_cut_in_it_counts_as_drained() {
    let (signal, watch) = drain::channel();
    let stats = Arc::new(Stats::new(Instant::now()));
    let config = Arc::new(ConnectionConfig::default());
    let serve = || echo(&watch).config(config.clone()).stats(stats.clone());
    let (first, end) = connect(serve());
    let (second, cut) = connect(serve());
    yield_now().await;
    config.set_linger(Duration::from_secs(7));
    let start = Instant::now();
    signal.drain();
    yield_now().await;
    assert_eq!(stats.lingering.get(), 2);
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled());
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
    assert_eq!(start.elapsed().as_secs(), 7);
    assert_eq!(stats.lingering.get(), 0);
    let closed = stats.states.snapshot().closed;
    assert_eq!(closed[CloseReason::Drain as usize], 2, "{closed:?}");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn parked_connections_that_are_woken_adopt_new_deadlines() {
    // More than are woken in one step.
    const CLIENTS: usize = 600;
    let (signal, watch) = drain::channel();
    let stats = Arc::new(Stats::new(Instant::now()));
    let heartbeat = HeartbeatLayer::new(Deadlines::default(), stats.clone());
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(heartbeat.clone())
        .service(echo(&watch).stats(stats.clone()));
    let (clients, ends): (Vec<_>, Vec<_>) = (0..CLIENTS)
        .map(|_| {
            let (client, server) = duplex(64);
            let connection = stack.call(server);
            (client, tokio::spawn(async move { connection.await.unwrap() }))
        })
        .unzip();
    sleep(Duration::from_secs(5)).await;
    heartbeat.set_deadlines(Deadlines::new().idle(Some(Duration::from_secs(20))));
    let mut next = Some(0);
    while let Some(from) = next {
        next = signal.wake_from(from);
        yield_now().await;
    }
    let start = Instant::now();
    for end in ends {
        assert_eq!(end.await.unwrap(), CloseReason::IdleTimeout);
    }
    assert_eq!(start.elapsed().as_secs(), 15, "the silence before the change counts");
    drop(clients);
}
