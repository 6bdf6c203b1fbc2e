//! What a batch and a line cost: each layer, both stacks, both framings, in memory.
//!
//! Lines of five bytes; a batch of one is ping-pong, one of 13,107 fills a read block (a flood).

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may panic")]

use std::{
    hint::black_box,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
    time::Instant,
};
use tokio_util::codec::{Decoder, Encoder};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, DigestMode, EachLine, Echo, ErrorReplyLayer, FramingLayer,
    IntoResponse, Line, LineError, Lines, LinesBatchCodec, MeterLayer, ObserveLayer,
    ReadyPerCallLayer, Semaphore, Sha256Layer, TimeoutLayer, Utf8LinesCodec, each_line,
    heartbeat::HeartbeatLayer,
    internal::{put_block, take_block},
    protocol::Lf,
    reply::Args,
    router::{Router, Routes},
    serve::Serve,
    session::{ActionOf, Conn, Cx, FrameOf, Session, SessionResponder, SessionStack},
    stats::{Nanos, State, StateCells, Stats},
};
use towline_test_support::{DEADLINES, line_stack};

const KIB: usize = 1024;

const BATCHES: [usize; 4] = [1, 100, 3_000, 13_107];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn stats() -> Arc<Stats> {
    Arc::new(Stats::new(Instant::now()))
}

fn flood(lines: usize) -> Lines {
    Lines::from_iter(std::iter::repeat_n("ping", lines))
}

/// A peer that has sent one batch when its flag is set, and takes every reply.
#[derive(Debug, Clone)]
struct Peer {
    batch: Bytes,
    sent: Arc<Mutex<bool>>,
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !std::mem::take(&mut *self.sent.lock().unwrap()) {
            return Poll::Pending;
        }
        buf.put_slice(&self.batch);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// From the wake-up that brings a batch to the next park, replies written.
fn whole_stack(c: &mut Criterion) {
    let mut group = c.benchmark_group("stack");
    for lines in BATCHES {
        group.throughput(Throughput::Elements(lines as u64));
        let mut bare = |name, one: &dyn Fn(Peer) -> Pin<Box<dyn Future<Output = ()>>>| {
            let runtime = runtime();
            let _entered = runtime.enter();
            let sent = Arc::new(Mutex::new(false));
            let peer = Peer { batch: flood(lines).into_bytes(), sent: sent.clone() };
            let mut connection = one(peer);
            let mut cx = Context::from_waker(Waker::noop());
            group.bench_function(BenchmarkId::new(name, lines), |b| {
                b.iter(|| {
                    *sent.lock().unwrap() = true;
                    // A read that fills the block yields once.
                    for _ in 0..=usize::from(lines * 5 > 60 * KIB) {
                        assert!(connection.as_mut().poll(&mut cx).is_pending());
                    }
                });
            });
        };
        bare("batch", &|peer| connection(peer, LinesBatchCodec::new, Echo));
        bare("lines", &|peer| connection(peer, Utf8LinesCodec::new, Echo));
        let each_line = each_line(|line, out| out.line(line));
        let each_line = each_line.map_err(|never| match never {});
        bare("each_line", &|peer| connection(peer, LinesBatchCodec::new, each_line.clone()));
        // A longer batch is served in several turns.
        if lines <= 3_000 {
            let each_service =
                EachLine::new(service_fn(|line: Line| async move { Ok::<_, BoxError>(line) }));
            bare("EachLine", &|peer| connection(peer, LinesBatchCodec::new, each_service.clone()));
        }
        if lines <= 100 {
            bare("session", &|peer| conversation(peer, |_| Pong));
            let routed = |stack: &_| routes(COMMANDS).counted_by(stack).session(());
            bare("router", &|peer| conversation(peer, routed));
        }
    }
    group.finish();
}

fn connection<C, S>(
    peer: Peer,
    codec: fn(usize) -> C,
    service: S,
) -> Pin<Box<dyn Future<Output = ()>>>
where
    S: Service<Lines, Response: IntoResponse<Protocol = Lf>, Error = BoxError, Future: Unpin>
        + Clone
        + 'static,
    C: Decoder<Item = Lines, Error = LineError>
        + Encoder<Lines, Error = LineError>
        + Unpin
        + 'static,
{
    let stats = stats();
    let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(4096)));
    let lines = line_stack(&stats, Duration::from_secs(5), limit, service);
    let connection = ServiceBuilder::new()
        .layer(MeterLayer::new(stats.clone()))
        .layer(FramingLayer::new(codec, 64 * KIB))
        .layer(HeartbeatLayer::new(DEADLINES, stats.clone()))
        .service(Serve::unboxed(lines).stats(stats))
        .call(peer);
    Box::pin(async { connection.await.map_or((), |_| ()) })
}

/// Answers every line with one of the same length.
struct Pong;

impl Session for Pong {
    type Protocol = Lf;

    fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply("pong")
    }
}

/// Commands of the router that is measured.
const COMMANDS: usize = 24;

/// A router of so many commands, one of which is `PING`.
fn routes(commands: usize) -> Routes<Lf, ()> {
    let pong = |_: &mut (), _: Args<'_>| "pong";
    (1..commands)
        .fold(Router::new().command("PING", pong), |router, n| {
            router.command(format!("COMMAND-{n}").leak(), pong)
        })
        .build()
        .unwrap()
}

/// A connection of a session, in the layers of [`connection`].
fn conversation<S>(
    peer: Peer,
    session: impl FnOnce(&SessionStack) -> S,
) -> Pin<Box<dyn Future<Output = ()>>>
where
    S: Session<Protocol = Lf>,
{
    // As a shard counts.
    let stats = Arc::new(Stats::of_one_thread(Instant::now()));
    let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(4096)));
    let timeout = TimeoutLayer::new(Duration::from_secs(5));
    let stack = SessionStack::new(stats.clone(), &timeout, &limit);
    let responder = SessionResponder::new(session(&stack), Conn::new(None), stack);
    let connection = ServiceBuilder::new()
        .layer(MeterLayer::new(stats.clone()))
        .layer(FramingLayer::new(LinesBatchCodec::new, 64 * KIB))
        .layer(HeartbeatLayer::new(DEADLINES, stats.clone()))
        .service(Serve::unboxed(Echo).stats(stats).one(responder))
        .call(peer);
    Box::pin(async { connection.await.map_or((), |_| ()) })
}

fn call<S>(c: &mut Criterion, name: &str, lines: usize, service: &S)
where
    S: Service<Lines, Error = BoxError> + Clone,
{
    let runtime = runtime();
    let batch = flood(lines);
    let mut group = c.benchmark_group("layer");
    group.throughput(Throughput::Elements(lines as u64));
    group.bench_function(BenchmarkId::new(name, lines), |b| {
        b.iter(|| runtime.block_on(service.clone().oneshot(batch.clone())));
    });
    group.finish();
}

/// Each layer around an echo; subtract the first row, which is the harness.
fn layers(c: &mut Criterion) {
    let stats = stats();
    call(c, "none", 100, &Echo);
    call(c, "error_reply", 100, &ErrorReplyLayer::new().layer(Echo));
    call(c, "observe", 100, &ObserveLayer::new(stats.clone()).layer(Echo));
    call(c, "ready_per_call", 100, &ReadyPerCallLayer::new().layer(Echo));
    call(c, "timeout", 100, &TimeoutLayer::new(Duration::from_secs(5)).layer(Echo));
    let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(4096)));
    call(c, "concurrency_limit", 100, &limit.layer(Echo));
    for lines in BATCHES {
        for (name, digest) in
            [("sha256 reply", DigestMode::Reply), ("sha256 discard", DigestMode::Discard)]
        {
            call(c, name, lines, &Sha256Layer::new(digest, stats.clone()).layer(Echo));
        }
        let one = service_fn(|line: Line| async move { Ok::<_, BoxError>(line) });
        call(c, "each_line", lines, &EachLine::new(one));
        call(c, "each_line of 8", lines, &EachLine::new(one).concurrent(8));
    }
}

fn parts(c: &mut Criterion) {
    let cells = StateCells::default();
    cells.open(State::Idle, Nanos(0));
    let mut at = 0;
    c.bench_function("part/state transition", |b| {
        b.iter(|| {
            at += 1;
            cells.change(State::Idle, State::Ready, Nanos(at));
            cells.change(State::Ready, State::Idle, Nanos(at));
        });
    });
    c.bench_function("part/state snapshot", |b| b.iter(|| cells.snapshot()));
    c.bench_function("part/pool take and return", |b| {
        b.iter(|| put_block(black_box(take_block())));
    });
    let stats = stats();
    c.bench_function("part/clock", |b| b.iter(|| stats.now()));
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = quick(); targets = whole_stack, layers, parts }
criterion_main!(benches);
