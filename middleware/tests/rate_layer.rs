//! A rate before a service of batches: what is served, refused, and lets wait.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, advance},
};
use tower::{Layer, Service, service_fn};
use towline_middleware::{
    Batch, BatchCodec, BoxError, EachLine, Line, Response,
    drain::{self, Watch},
    protocol::{CrLf, Lf, Protocol},
    rate::{Excess, Quota, Rate, RateLayer},
    reply::ReplyError,
    serve_connection,
    stats::CloseReason,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Serves the lines of a client with a rate around an echo that counts them.
fn served<P: Protocol>(
    rate: &RateLayer,
    drain: Watch,
) -> (DuplexStream, Arc<AtomicUsize>, JoinHandle<Result<CloseReason, BoxError>>) {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = served.clone();
    let echo = service_fn(move |batch: Batch<P>| {
        counter.fetch_add(batch.count(), Relaxed);
        async move { Ok::<_, Infallible>(batch) }
    });
    let (client, server) = duplex(64);
    let codec = BatchCodec::<P>::new(1024);
    let connection = tokio::spawn(serve_connection(server, codec, rate.layer(echo), drain));
    (client, served, connection)
}

async fn expect(client: &mut DuplexStream, replies: &str) {
    let mut read = vec![0; replies.len()];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), replies);
}

#[tokio::test(start_paused = true)]
async fn lines_above_the_rate_are_answered_with_an_error_each_and_the_others_served() {
    let rate = RateLayer::new(Quota::per_second(1).burst(2));
    let (mut client, served, _) = served::<Lf>(&rate, Watch::never());
    client.write_all(b"a\nb\nc\nd\n").await.unwrap();
    expect(&mut client, "a\nb\nERR too fast\nERR too fast\n").await;
    client.write_all(b"e\n").await.unwrap();
    expect(&mut client, "ERR too fast\n").await;
    advance(SECOND).await;
    client.write_all(b"f\ng\n").await.unwrap();
    expect(&mut client, "f\nERR too fast\n").await;
    assert_eq!(served.load(Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn the_error_is_the_programs_in_the_words_of_the_protocol() {
    let rate = RateLayer::new(Quota::per_second(0)).error(ReplyError::with_code(450, "later"));
    let (mut client, ..) = served::<CrLf>(&rate, Watch::never());
    client.write_all(b"NOOP\r\nNOOP\r\n").await.unwrap();
    expect(&mut client, "450 later\r\n450 later\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn lines_that_wait_are_served_in_order_when_it_is_their_time() {
    let rate = RateLayer::new(Quota::per_second(10).burst(2));
    let rate = rate.excess(Excess::Pace { at_most: SECOND });
    let (mut client, served, _) = served::<Lf>(&rate, Watch::never());
    let start = Instant::now();
    client.write_all(b"a\nb\nc\nd\n").await.unwrap();
    // Those within the rate do not wait for the others.
    expect(&mut client, "a\nb\n").await;
    assert_eq!((start.elapsed(), served.load(Relaxed)), (Duration::ZERO, 2));
    // What comes behind them waits its turn.
    client.write_all(b"e\n").await.unwrap();
    for (line, tenths) in [("c\n", 1), ("d\n", 2), ("e\n", 3)] {
        expect(&mut client, line).await;
        let late = start.elapsed() - tenths * SECOND / 10;
        assert!(late <= 5 * MS, "{line:?} is {late:?} late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_lines_wait_is_not_read() {
    let rate = RateLayer::new(Quota::per_minute(1));
    let rate = rate.excess(Excess::Pace { at_most: HOUR });
    let (mut client, served, _) = served::<Lf>(&rate, Watch::never());
    client.write_all(b"a\nb\n").await.unwrap();
    expect(&mut client, "a\n").await;
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(SECOND / 10, client.write(&[b'x'; 64])).await {
        sent += written.unwrap();
    }
    // 64 are in the stream; while something is awaited, 16 KiB are read ahead to see whether the peer ends.
    assert!(sent <= 20 * 1024, "{sent}");
    assert_eq!(served.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_would_wait_too_long_is_refused_at_once_and_those_behind_it() {
    let rate = RateLayer::new(Quota::per_second(1));
    let rate = rate.excess(Excess::Pace { at_most: 2 * SECOND });
    let (mut client, served, _) = served::<Lf>(&rate, Watch::never());
    let start = Instant::now();
    client.write_all(b"a\nb\nc\nd\ne\n").await.unwrap();
    let refused = "ERR too fast\nERR too fast\n";
    expect(&mut client, &format!("a\nb\nc\n{refused}")).await;
    assert!(start.elapsed() < 2 * SECOND + 5 * MS);
    assert_eq!(served.load(Relaxed), 3);

    // A burst of nothing lets nothing wait.
    let rate = RateLayer::new(Quota::per_second(1).burst(0));
    let (mut client, ..) =
        self::served::<Lf>(&rate.excess(Excess::Pace { at_most: Duration::MAX }), Watch::never());
    client.write_all(b"a\n").await.unwrap();
    expect(&mut client, "ERR too fast\n").await;
}

#[tokio::test(start_paused = true)]
async fn lines_that_were_taken_are_served_before_a_drain_ends_the_connection() {
    let rate = RateLayer::new(Quota::per_second(1));
    let rate = rate.excess(Excess::Pace { at_most: HOUR });
    let (signal, drain) = drain::channel();
    let (mut client, _, connection) = served::<Lf>(&rate, drain);
    client.write_all(b"a\nb\nc\n").await.unwrap();
    expect(&mut client, "a\n").await;
    signal.drain();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "b\nc\n");
    drop(client);
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::Drain);
}

#[tokio::test(start_paused = true)]
async fn lines_that_wait_are_not_served_when_their_peer_is_gone() {
    let rate = RateLayer::new(Quota::per_second(1));
    let rate = rate.excess(Excess::Pace { at_most: HOUR });
    let (mut client, served, connection) = served::<Lf>(&rate, Watch::never());
    client.write_all(b"a\nb\nc\nd\n").await.unwrap();
    expect(&mut client, "a\n").await;
    drop(client);
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::PeerEof);
    assert_eq!(served.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_line_that_waited_ends_the_connection_behind_the_replies_before_it() {
    let failing = service_fn(|batch: Batch| async move {
        if batch.as_bytes() == b"c\n" { Err("c is bad") } else { Ok(batch) }
    });
    let rate = RateLayer::new(Quota::per_second(1));
    let rate = rate.excess(Excess::Pace { at_most: HOUR });
    let (mut client, server) = duplex(64);
    let codec = BatchCodec::new(1024);
    let connection =
        tokio::spawn(serve_connection(server, codec, rate.layer(failing), Watch::never()));
    client.write_all(b"a\nb\nc\nd\n").await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies, "a\nb\n");
    drop(client);
    assert_eq!(connection.await.unwrap().unwrap_err().to_string(), "c is bad");
}

/// `EachLine` answers in parts, behind which what waited or was refused comes.
#[tokio::test(start_paused = true)]
async fn a_service_that_answers_in_parts_is_limited_too() {
    let upper = service_fn(|line: Line| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(line.to_ascii_uppercase())
    });
    let rate = RateLayer::new(Quota::per_second(10).burst(2));
    for (excess, replies) in [
        (Excess::Shed, "A\nB\nERR too fast\nERR too fast\n"),
        (Excess::Pace { at_most: SECOND / 10 }, "A\nB\nC\nERR too fast\n"),
        (Excess::Pace { at_most: SECOND }, "A\nB\nC\nD\n"),
    ] {
        let service = rate.clone().excess(excess).layer(EachLine::new(upper));
        let (mut client, server) = duplex(64);
        let codec = BatchCodec::new(1024);
        tokio::spawn(serve_connection(server, codec, service, Watch::never()));
        client.write_all(b"a\nb\nc\nd\n").await.unwrap();
        expect(&mut client, replies).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_closes_closes_also_for_a_line_that_waited() {
    let quits = service_fn(|batch: Batch| async move {
        let closes = batch.frames().any(|line| line == b"quit");
        let response = Response::from(batch);
        Ok::<_, Infallible>(if closes { response.close() } else { response })
    });
    let rate = RateLayer::new(Quota::per_second(1));
    let rate = rate.excess(Excess::Pace { at_most: HOUR });
    for (lines, replies) in [("quit\nb\n", "quit\n"), ("a\nquit\nb\n", "a\nquit\n")] {
        let (mut client, server) = duplex(64);
        let codec = BatchCodec::new(1024);
        let service = rate.layer(quits);
        let connection = tokio::spawn(serve_connection(server, codec, service, Watch::never()));
        client.write_all(lines.as_bytes()).await.unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        drop(client);
        let reason = connection.await.unwrap().unwrap();
        assert_eq!((said.as_str(), reason), (replies, CloseReason::ServiceClose));
    }
}

/// A layer whose clones each began with a full quota let five of a connection through for each of its calls,
/// because a service is cloned for each.
#[tokio::test(start_paused = true)]
async fn clones_share_a_quota_and_each_service_of_the_layer_has_its_own() {
    let layer = RateLayer::new(Quota::per_second(5));
    let echo = service_fn(|batch: Batch| async move { Ok::<_, Infallible>(batch) });
    let (one, other) = (layer.layer(echo), layer.clone().layer(echo));
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(passes(one.clone()).await);
    }
    assert_eq!(passed, 5);
    assert!(passes(other).await);
}

/// Whether a line is served.
async fn passes<S>(mut rate: Rate<S>) -> bool
where
    Rate<S>: Service<Batch, Response = Response, Error = BoxError>,
{
    let response = rate.call(Batch::new("a\n").unwrap()).await.unwrap();
    !format!("{response:?}").contains("too fast")
}
