//! Calls whose client ends the connection meanwhile.
//!
//! While a call ran, nothing looked at the socket: a client that was gone counted as open until its call was
//! done, which may take an hour, and 64 such clients held 64 permits that others waited for.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, join,
        sink,
    },
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, FramedTransport, Lines, LinesBatchCodec, Semaphore, drain,
    serve::{ConnectionConfig, Serve},
    stats::{CloseReason, Stats},
};
use towline_test_support::{End, FaultyIo, Step, assert_closed_once};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const MILLIS: Duration = Duration::from_millis(1);
const GRACE: Duration = Duration::from_millis(500);
const KIB: usize = 1024;

/// Takes as long for a batch as its first line says in milliseconds, counts the calls that run, and answers
/// with the batch.
fn slow(
    running: &Arc<AtomicUsize>,
) -> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + use<> {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let running = running.clone();
    service_fn(move |lines: Lines| {
        running.fetch_add(1, SeqCst);
        let running = Running(running.clone());
        async move {
            let _running = running;
            let first = lines.iter().next().unwrap();
            let millis = std::str::from_utf8(first).unwrap().parse().unwrap();
            sleep(Duration::from_millis(millis)).await;
            Ok::<_, BoxError>(lines)
        }
    })
}

struct Server {
    stats: Arc<Stats>,
    running: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    config: Arc<ConnectionConfig>,
    drain: drain::Watch,
}

impl Server {
    fn new() -> Self {
        Self {
            stats: Arc::new(Stats::new(Instant::now())),
            running: Arc::default(),
            permits: Arc::new(Semaphore::new(1)),
            config: Arc::default(),
            drain: drain::Watch::never(),
        }
    }

    /// Serves one connection, whose calls need a permit.
    fn serve<Io>(&self, io: Io) -> JoinHandle<CloseReason>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = ConcurrencyLimitLayer::new(self.permits.clone()).layer(slow(&self.running));
        let mut serve = Serve::new(service)
            .stats(self.stats.clone())
            .config(self.config.clone())
            .drain(self.drain.clone());
        let connection = serve.call(FramedTransport::new(io, LinesBatchCodec::new(64 * KIB)));
        tokio::spawn(async move { connection.await.unwrap() })
    }

    fn connect(&self) -> (DuplexStream, JoinHandle<CloseReason>) {
        let (client, server) = duplex(256 * KIB);
        (client, self.serve(server))
    }

    /// Fails unless no call runs and none holds or awaits a permit.
    #[track_caller]
    fn assert_no_call(&self) {
        let held = (self.running.load(SeqCst), self.permits.in_use());
        assert_eq!(held, (0, 0), "calls that run, permits that are out");
    }
}

/// Half-closed or gone: from here the two look the same. What was pipelined behind the line, a part of a
/// line included, must not hide it.
#[tokio::test(start_paused = true)]
async fn a_call_whose_client_has_ended_is_cancelled_after_the_grace_period() {
    for behind in ["", "1\n", "1\nhalf", &"x".repeat(10 * KIB)] {
        let server = Server::new();
        let (mut client, end) = server.connect();
        client.write_all(b"3600000\n").await.unwrap();
        sleep(SECOND).await;
        client.write_all(behind.as_bytes()).await.unwrap();
        sleep(SECOND).await;
        assert_eq!((server.running.load(SeqCst), server.permits.in_use()), (1, 1));

        let gone = Instant::now();
        drop(client);
        assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
        assert!((GRACE..SECOND).contains(&gone.elapsed()), "{:?}", gone.elapsed());
        server.assert_no_call();
        assert_closed_once(&server.stats, CloseReason::PeerEof);
    }
}

/// The client ended before its line was even read.
#[tokio::test(start_paused = true)]
async fn an_end_that_comes_with_the_line_is_seen_too() {
    let server = Server::new();
    let end = server.serve(FaultyIo::new("3600000\n1\n"));
    let begun = Instant::now();
    assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
    assert!(begun.elapsed() < SECOND);
    server.assert_no_call();
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_resets_the_connection_is_cancelled_at_once() {
    for input in ["3600000\n", "3600000\n1\nhalf"] {
        let server = Server::new();
        let io = FaultyIo::new(input).end(End::Fail(ErrorKind::ConnectionReset));
        // The line, and the rest a second later.
        let end = server.serve(io.reads([Step::Take(8)]));
        let begun = Instant::now();
        assert_eq!(end.await.unwrap(), CloseReason::PeerReset);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        server.assert_no_call();
        assert_closed_once(&server.stats, CloseReason::PeerReset);
    }
}

/// `printf '100\n1\n' | nc -N`: a client that ends only its sending side waits for replies.
#[tokio::test(start_paused = true)]
async fn fault_10_a_call_that_is_done_within_the_grace_period_is_answered_and_so_are_the_lines_behind()
 {
    let server = Server::new();
    let (mut client, end) = server.connect();
    client.write_all(b"400\n").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    client.write_all(b"300\n300\nhalf").await.unwrap();
    client.shutdown().await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies, "400\n300\n300\n");
    assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
    assert_eq!(server.stats.unterminated_lines.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_grace_period_a_call_goes_on_until_it_is_done() {
    let server = Server::new();
    server.config.set_half_close(None);
    let (mut client, end) = server.connect();
    client.write_all(b"3600000\n").await.unwrap();
    client.shutdown().await.unwrap();
    let begun = Instant::now();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert_eq!((&replies[..], begun.elapsed()), ("3600000\n", HOUR));
    assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
}

/// Earlier replies are written while a later line is served; the end must not lose them.
#[tokio::test(start_paused = true)]
async fn replies_before_the_cancelled_call_are_written() {
    let server = Server::new();
    let (mut client, end) = server.connect();
    client.write_all(b"0\n").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    client.write_all(b"3600000\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies, "0\n");
    assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
    server.assert_no_call();
}

/// 64 clients that were gone held 64 permits, and the line of one that was there waited for its timeout.
#[tokio::test(start_paused = true)]
async fn clients_that_are_gone_hold_no_permit_and_no_place_in_the_queue_for_one() {
    let server = Server::new();
    let mut ends = Vec::new();
    for _ in 0..64 {
        let (mut gone, end) = server.connect();
        gone.write_all(b"3600000\n").await.unwrap();
        ends.push(end);
        sleep(Duration::from_millis(1)).await;
    }
    let (mut living, _end) = server.connect();
    let begun = Instant::now();
    living.write_all(b"0\n").await.unwrap();
    living.read_exact(&mut [0; 2]).await.unwrap();
    assert!(begun.elapsed() < SECOND, "it waited for {:?}", begun.elapsed());
    for end in ends {
        assert_eq!(end.await.unwrap(), CloseReason::PeerEof);
    }
    server.assert_no_call();
}

/// Tower's services make callers wait in `poll_ready`, before there is a call.
#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_a_service_that_is_not_ready_ends_with_its_client() {
    let (service, mut handle) = tower_test::mock::pair::<Lines, Lines>();
    handle.allow(0);
    for (end, reason) in [
        (End::Eof, CloseReason::PeerEof),
        (End::Fail(ErrorKind::ConnectionReset), CloseReason::PeerReset),
    ] {
        let io = FaultyIo::new("a\nb\n").end(end);
        let transport = FramedTransport::new(io, LinesBatchCodec::new(99));
        let begun = Instant::now();
        assert_eq!(Serve::new(service.clone()).call(transport).await.unwrap(), reason);
        assert!(begun.elapsed() < SECOND);
    }
    tokio_test::assert_pending!(tokio_test::task::spawn(handle.next_request()).poll());
}

/// What is read ahead is bounded, is not split into smaller batches for it, and is answered in order.
#[tokio::test(start_paused = true)]
async fn a_client_that_floods_during_its_call_is_held_back_and_its_lines_are_served_in_large_batches()
 {
    let server = Server::new();
    let flood = "00000000\n".repeat(200 * KIB / 9);
    let io = FaultyIo::new(format!("10\n{flood}")).end(End::Silence).reads([Step::Take(3)]);
    let record = io.record();
    let _end = server.serve(io);
    sleep(Duration::from_millis(5)).await;
    assert_eq!(server.running.load(SeqCst), 1);
    let ahead = record.get().consumed - 3;
    assert!((1..=16 * KIB).contains(&ahead), "{ahead} bytes were read during the call");
    assert_eq!(server.stats.read_buffer_bytes.get(), ahead as i64 + 3);

    sleep(SECOND).await;
    assert!(record.output() == format!("10\n{flood}").as_bytes(), "all of it comes back");
    // 200 KiB in blocks of 64 KiB.
    assert_eq!(record.get().writes.len(), 1 + 4);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_ahead_while_connections_buffer_as_much_as_they_may() {
    let server = Server::new();
    server.config.set_buffered_bytes_max(0);
    let io = FaultyIo::new("10\n0\n0\n").end(End::Silence).reads([Step::Take(3)]);
    let record = io.record();
    let _end = server.serve(io);
    sleep(Duration::from_millis(5)).await;
    assert_eq!(record.get().consumed, 3);
    sleep(SECOND).await;
    assert_eq!(record.output(), b"10\n0\n0\n");
}

/// A line that was read is answered.
#[tokio::test(start_paused = true)]
async fn lines_that_were_read_ahead_are_answered_when_a_drain_begins_during_the_call() {
    let (signal, watch) = drain::channel();
    let server = Server { drain: watch, ..Server::new() };
    let (mut client, end) = server.connect();
    client.write_all(b"1000\n").await.unwrap();
    sleep(SECOND / 10).await;
    client.write_all(b"100\n100\nhalf").await.unwrap();
    sleep(SECOND / 10).await;
    signal.drain();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies, "1000\n100\n100\n");
    drop(client);
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
}

/// What came during a call was read and had to be answered, which took time in which more came: a drain did not
/// end before its client did.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_though_lines_keep_coming() {
    let (signal, watch) = drain::channel();
    let server = Server { drain: watch, ..Server::new() };
    let (mut client, end) = server.connect();
    client.write_all(b"1000\n").await.unwrap();
    sleep(10 * MILLIS).await;
    signal.drain();
    let drained = Instant::now();
    while !end.is_finished() && drained.elapsed() < 60 * SECOND {
        let _ = client.write_all(b"500\n").await;
        sleep(100 * MILLIS).await;
    }
    assert!(end.is_finished());
    assert_eq!(end.await.unwrap(), CloseReason::Drain);
}

/// A call that uses up its task's budget at every poll, as `EachLine` does, left none for the read.
#[tokio::test(start_paused = true)]
async fn a_call_that_never_leaves_any_budget_is_cancelled_too() {
    let busy = service_fn(|_: Lines| {
        std::future::poll_fn(|cx| {
            while let Poll::Ready(unit) = tokio::task::coop::poll_proceed(cx) {
                unit.made_progress();
            }
            Poll::<Result<Lines, BoxError>>::Pending
        })
    });
    let io = FaultyIo::new("a\n").end(End::Fail(ErrorKind::ConnectionReset)).reads([Step::Take(2)]);
    let transport = FramedTransport::new(join(Budgeted(io), sink()), LinesBatchCodec::new(99));
    let connection = Serve::new(busy).call(transport);
    assert_eq!(timeout(SECOND, connection).await.unwrap().unwrap(), CloseReason::PeerReset);
}

/// Takes a unit of the task's budget for each read, as Tokio's sockets do.
struct Budgeted(FaultyIo);

impl AsyncRead for Budgeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unit = ready!(tokio::task::coop::poll_proceed(cx));
        unit.made_progress();
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}
