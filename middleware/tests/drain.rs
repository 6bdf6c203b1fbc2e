//! How open connections learn what changed: shares of a drain, a wake-up, settings that were changed.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, yield_now},
    time::Instant,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_layer::Layer;
use tower_service::Service;
use towline_middleware::{
    ConcurrencyLimitLayer, DigestMode, Echo, FramedTransport, FramingLayer, LineLimits, Lines,
    LinesBatchCodec, LoadShed, Semaphore, Sha256Layer, Utf8LinesCodec, drain,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::{ConnectionConfig, Serve},
    stats::{CloseReason, Stats},
};

fn served(serve: Serve<Echo>) -> (DuplexStream, JoinHandle<CloseReason>) {
    let (client, server) = duplex(4096);
    let mut serve = serve;
    let served = serve.call(FramedTransport::new(server, LinesBatchCodec::new(99)));
    (client, tokio::spawn(async move { served.await.unwrap() }))
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_drain_reaches_so_many_and_the_rest_goes_on() {
    let (signal, watch) = drain::channel();
    let mut connections: Vec<_> =
        (0..10).map(|_| served(Serve::unboxed(Echo).drain(watch.clone()))).collect();
    yield_now().await;
    for (share, told) in [(0.0, 0), (0.35, 3), (0.2, 3), (0.8, 8), (1.0, 10)] {
        signal.drain_share(share);
        for (at, (client, _)) in connections.iter_mut().enumerate() {
            // Sent to one that is told already it is read and forgotten.
            client.write_all(b"a\n").await.unwrap();
            let answered = client.read(&mut [0; 2]).await.unwrap();
            assert_eq!(answered, if at < told { 0 } else { 2 }, "{at} at {share}");
        }
    }
    assert!(!watch.is_draining(), "those to come are not told");
    let (mut late, ended) = served(Serve::unboxed(Echo).drain(watch.clone()));
    yield_now().await;
    signal.drain();
    assert_eq!(late.read(&mut [0; 2]).await.unwrap(), 0);
    drop((late, connections));
    assert_eq!(ended.await.unwrap(), CloseReason::Drain);
}

#[tokio::test(start_paused = true)]
async fn the_linger_lasts_as_long_as_the_rules_say_and_costs_nobody_a_cut() {
    let (signal, watch) = drain::channel();
    let (rules, stats) =
        (Arc::new(ConnectionConfig::default()), Arc::new(Stats::new(Instant::now())));
    let serve =
        || Serve::unboxed(Echo).drain(watch.clone()).config(rules.clone()).stats(stats.clone());
    let (first, ended) = served(serve());
    let (second, cut) = served(serve());
    yield_now().await;
    rules.set_linger(Duration::from_secs(7));
    let begun = Instant::now();
    signal.drain();
    yield_now().await;
    assert_eq!(stats.lingering.get(), 2);
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled());
    assert_eq!(ended.await.unwrap(), CloseReason::Drain);
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(stats.lingering.get(), 0);
    let closed = stats.states.snapshot().closed;
    assert_eq!(closed[CloseReason::Drain as usize], 2, "{closed:?}");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn a_nudge_has_parked_connections_look_at_new_limits() {
    let (signal, watch) = drain::channel();
    let stats = Arc::new(Stats::new(Instant::now()));
    let heartbeat = HeartbeatLayer::new(Deadlines::default(), stats.clone());
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(heartbeat.clone())
        .service(Serve::unboxed(Echo).drain(watch).stats(stats.clone()));
    // More than are woken at once.
    let (clients, ends): (Vec<_>, Vec<_>) = (0..600)
        .map(|_| {
            let (client, server) = duplex(64);
            let served = stack.call(server);
            (client, tokio::spawn(async move { served.await.unwrap() }))
        })
        .unzip();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = Some(Duration::from_secs(20));
    heartbeat.set_deadlines(Deadlines::new().idle(idle));
    let mut next = Some(0);
    while let Some(from) = next {
        next = signal.wake_from(from);
        yield_now().await;
    }
    let begun = Instant::now();
    for end in ends {
        assert_eq!(end.await.unwrap(), CloseReason::IdleTimeout);
    }
    assert_eq!(begun.elapsed().as_secs(), 15, "the silence before counts");
    drop(clients);
}

/// Every deadline passed while the process was stopped, and everybody was closed when it went on.
#[tokio::test(start_paused = true)]
async fn fault_25_who_could_not_be_heard_while_the_server_stood_still_gets_that_time_more() {
    let minute = Duration::from_secs(60);
    let limits =
        Deadlines::new().heartbeat(Some(minute), minute).idle(Some(3 * minute)).line(Some(minute));
    for kept in [false, true] {
        let stats = Arc::new(Stats::new(Instant::now()));
        let heartbeat = HeartbeatLayer::new(limits, stats.clone());
        let keeper = kept.then(|| tokio::spawn(heartbeat.clone().run_watchdog()));
        let mut stack = ServiceBuilder::new()
            .layer(FramingLayer::new(LinesBatchCodec::new, 99))
            .layer(heartbeat)
            .service(Serve::unboxed(Echo).stats(stats.clone()));
        let (mut client, server) = duplex(64);
        let served = stack.call(server);
        let ended = tokio::spawn(async move { served.await.unwrap() });
        client.read_exact(&mut [0; 5]).await.unwrap();
        tokio::time::advance(10 * minute).await;
        if kept {
            tokio::time::sleep(minute / 2).await;
            client.write_all(b"pong\nhere\nhalf").await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            let begun = Instant::now();
            assert_eq!(ended.await.unwrap(), CloseReason::ReadTimeout, "deadlines go on");
            assert_eq!(begun.elapsed().as_secs(), 60);
        } else {
            assert_eq!(ended.await.unwrap(), CloseReason::HeartbeatTimeout);
        }
        if let Some(keeper) = keeper {
            keeper.abort();
        }
    }
}

#[tokio::test]
async fn line_limits_change_for_codecs_that_exist() {
    use bytes::BytesMut;
    use tokio_util::codec::Decoder;
    let limits = Arc::new(LineLimits::new(3));
    let mut batch = LinesBatchCodec::shared(limits.clone());
    let mut lines = Utf8LinesCodec::shared(limits.clone());
    let mut fits = |text: &str| {
        let batch = batch.decode(&mut BytesMut::from(text)).is_ok();
        assert_eq!(lines.decode(&mut BytesMut::from(text)).is_ok(), batch, "{text}");
        batch
    };
    assert!(fits("abc\n"));
    limits.set_bytes(5);
    assert!(fits("abcde\n"));
    limits.set_bytes(4);
    assert!(!fits("abcde\n"));
}

fn lines(line: &'static [u8]) -> Lines {
    std::iter::once(line).collect()
}

#[tokio::test]
async fn a_layer_is_told_what_is_hashed_and_what_is_shed() {
    let hashing = Sha256Layer::new(None, Stats::unobserved());
    let hash = hashing.layer(Echo);
    let reply = async |hash: &_| {
        let hash: &towline_middleware::Sha256<Echo> = hash;
        hash.clone().oneshot(lines(b"")).await.unwrap().as_bytes().len()
    };
    assert_eq!(reply(&hash).await, 1);
    hashing.set_digest(Some(DigestMode::Reply));
    assert_eq!(reply(&hash).await, 65);

    let limiting = [0, 1].map(|n| ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(n))));
    let [busy, free] = [&limiting[0], &limiting[1]].map(|layer| layer.layer(Echo));
    let set_load_shed =
        |load_shed| limiting.iter().for_each(|layer| layer.set_load_shed(load_shed));
    assert!(busy.clone().call(lines(b"a")).now_or_never().is_none(), "it waits");
    set_load_shed(LoadShed::WhenFull);
    let error = busy.clone().oneshot(lines(b"a")).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>());
    assert!(free.clone().oneshot(lines(b"a")).await.is_ok());
    set_load_shed(LoadShed::Always);
    let error = free.oneshot(lines(b"a")).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>());
}
