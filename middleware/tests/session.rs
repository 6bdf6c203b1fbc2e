//! Sessions: one value for each connection, called with one frame after another.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::pending,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use allocation_counter::measure;
use bytes::Bytes;
use futures_core::Stream;
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinError, JoinHandle},
    time::{Instant, sleep},
};
use tower_service::Service;
use towline_middleware::{
    BatchCodec, BoxError, ConcurrencyLimitLayer, Echo, FramedTransport, LoadShed, Semaphore,
    TimeoutLayer,
    drain::{self, Watch},
    protocol::Lf,
    reply::{Close, ReplyError},
    serve::Serve,
    session::{
        Action, ActionOf, Conn, Cx, Deferred, FrameOf, ReplyStream, Session, SessionResponder,
        SessionStack, serve_session,
    },
    stats::{CloseReason, LineResult, Stats},
};

const KIB: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);

/// The reasons with which sessions ended.
type Ends = Arc<Mutex<Vec<CloseReason>>>;

/// A session that does what its frames say.
#[derive(Default)]
struct Tester {
    frames: u32,
    ends: Ends,
    /// Set by a deferred reply.
    seen: String,
}

impl Session for Tester {
    type Protocol = Lf;

    fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply("hello")
    }

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.frames += 1;
        let line = std::str::from_utf8(frame).unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "count" => cx.reply(self.frames),
            "none" => Action::Continue,
            "two" => cx.reply(["one", "two"]),
            "error" => cx.reply(Err::<(), _>(ReplyError::new("no"))),
            "quit" => cx.reply(Close("bye")),
            "timer" => {
                cx.set_timer(SECOND);
                cx.reply("set")
            }
            "wait" => {
                let wait = Duration::from_millis(rest.parse().unwrap());
                let line = line.to_owned();
                Action::Deferred(Deferred::then(
                    async move {
                        sleep(wait).await;
                        line
                    },
                    |session: &mut Self, line, cx| {
                        session.seen.push_str(&line);
                        cx.reply(format_args!("{} {}", session.frames, session.seen))
                    },
                ))
            }
            "hang" => Action::Deferred(Deferred::new(pending::<&str>()).within(2 * SECOND)),
            "parts" => Action::ReplyStream(ReplyStream::new(Parts { left: rest.parse().unwrap() })),
            "long" => cx.reply("x".repeat(rest.parse().unwrap())),
            "panic" => panic!("as the line said"),
            _ => cx.reply(line),
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply("tick")
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        // It closes all the same.
        cx.reply("going down")
    }

    fn on_close(self, reason: CloseReason) {
        self.ends.lock().unwrap().push(reason);
        assert!(self.seen != "wait 7", "a panic in here is caught");
    }
}

/// Parts of 16 KiB, the last of which fails.
struct Parts {
    left: usize,
}

impl Stream for Parts {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.left = self.left.saturating_sub(1);
        Poll::Ready(Some(match self.left {
            0 => Err(io::Error::other("no more")),
            _ => Ok(vec![b'x'; 16 * KIB].into()),
        }))
    }
}

/// A connection of a [`Tester`], in memory.
struct Tested {
    client: DuplexStream,
    served: JoinHandle<Result<CloseReason, BoxError>>,
    ends: Ends,
}

impl Tested {
    fn new(drain: Watch) -> Self {
        let (client, server) = duplex(64 * KIB);
        let ends = Ends::default();
        let session = Tester { ends: ends.clone(), ..Tester::default() };
        let served = tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, drain));
        Self { client, served, ends }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn expect(&mut self, text: &str) {
        let mut said = vec![0; text.len()];
        self.client.read_exact(&mut said).await.unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), text);
    }

    /// Sends no more, and returns everything that comes, how it ended, and the reasons that the session got.
    async fn end(mut self) -> (String, Result<CloseReason, BoxError>, Vec<CloseReason>) {
        self.client.shutdown().await.unwrap();
        let mut said = String::new();
        self.client.read_to_string(&mut said).await.unwrap();
        let ended = self.served.await.unwrap();
        let ends = self.ends.lock().unwrap().clone();
        (said, ended, ends)
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_speaks_first_and_answers_each_frame_with_any_number_of_lines() {
    let mut tested = Tested::new(Watch::never());
    tested.expect("hello\n").await;
    tested.send("a\nnone\ntwo\nerror\ncount\n").await;
    let (said, ended, ends) = tested.end().await;
    assert_eq!(said, "a\none\ntwo\nERR no\n5\n");
    assert_eq!(ended.unwrap(), CloseReason::PeerEof);
    assert_eq!(ends, [CloseReason::PeerEof]);
}

#[tokio::test(start_paused = true)]
async fn last_words_end_the_connection_and_what_is_behind_them_is_not_served() {
    let mut tested = Tested::new(Watch::never());
    tested.send("a\nquit\ncount\n").await;
    let (said, ended, ends) = tested.end().await;
    assert_eq!(said, "hello\na\nbye\n");
    assert_eq!(ended.unwrap(), CloseReason::ServiceClose);
    assert_eq!(ends, [CloseReason::ServiceClose]);
}

#[tokio::test(start_paused = true)]
async fn a_deferred_reply_holds_back_what_is_behind_it_and_nothing_before_it() {
    let mut tested = Tested::new(Watch::never());
    tested.send("a\nwait 1000\nb\n").await;
    let begun = Instant::now();
    tested.expect("hello\na\n").await;
    assert!(begun.elapsed() < SECOND);
    tested.expect("2 wait 1000\nb\n").await;
    assert!(begun.elapsed() >= SECOND);
}

#[test]
fn a_deferred_reply_is_two_allocations() {
    let allocated = measure(|| {
        drop(Deferred::<Lf, Tester>::then(pending::<u8>(), |session, number, cx| {
            session.frames += u32::from(number);
            cx.reply("done")
        }));
    });
    assert_eq!(allocated.count_total, 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_future_holds_is_free_when_its_value_comes_back() {
    struct Held {
        _permit: Arc<()>,
    }
    impl Future for Held {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    struct Counter(Arc<()>);
    impl Session for Counter {
        type Protocol = Lf;
        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            let held = Held { _permit: self.0.clone() };
            Action::Deferred(Deferred::then(held, |counter: &mut Self, (), cx| {
                cx.reply(Arc::strong_count(&counter.0))
            }))
        }
    }
    let (mut client, server) = duplex(KIB);
    client.write_all(b"count\n").await.unwrap();
    client.shutdown().await.unwrap();
    let session = Counter(Arc::new(()));
    serve_session(server, BatchCodec::new(KIB), session, Watch::never()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "1\n");
}

#[tokio::test(start_paused = true)]
async fn a_deferred_reply_that_waits_too_long_is_answered_for_its_frame_alone() {
    let mut tested = Tested::new(Watch::never());
    let begun = Instant::now();
    tested.send("a\nhang\nb\n").await;
    tested.expect("hello\na\nERR timeout\nb\n").await;
    assert!(begun.elapsed() >= 2 * SECOND);
    let (_, ended, ends) = tested.end().await;
    assert_eq!(ended.unwrap(), CloseReason::PeerEof);
    assert_eq!(ends, [CloseReason::PeerEof]);
}

#[tokio::test(start_paused = true)]
async fn a_deferred_reply_ends_with_its_peer() {
    let mut tested = Tested::new(Watch::never());
    tested.expect("hello\n").await;
    tested.send("wait 3600000\n").await;
    let Tested { client, served, ends } = tested;
    drop(client);
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::PeerEof);
    assert_eq!(*ends.lock().unwrap(), [CloseReason::PeerEof]);
}

#[tokio::test(start_paused = true)]
async fn the_timer_fires_once_behind_a_reply_that_is_waited_for() {
    let mut tested = Tested::new(Watch::never());
    tested.send("timer\nwait 3000\n").await;
    tested.expect("hello\nset\n2 wait 3000\ntick\n").await;
    tested.send("timer\n").await;
    tested.expect("set\n").await;
    let begun = Instant::now();
    tested.expect("tick\n").await;
    assert!(begun.elapsed() >= SECOND);
    sleep(10 * SECOND).await;
    let (said, ..) = tested.end().await;
    assert_eq!(said, "");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_was_read_and_says_last_words() {
    let (signal, watch) = drain::channel();
    let mut tested = Tested::new(watch);
    tested.send("a\nwait 1000\nb\n").await;
    tested.expect("hello\na\n").await;
    signal.drain();
    tested.expect("2 wait 1000\nb\ngoing down\n").await;
    let (said, ended, ends) = tested.end().await;
    assert_eq!(said, "");
    assert_eq!(ended.unwrap(), CloseReason::Drain);
    assert_eq!(ends, [CloseReason::Drain]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_connection_and_the_session_learns_of_it_once() {
    let mut tested = Tested::new(Watch::never());
    tested.send("a\n").await;
    tested.expect("hello\na\n").await;
    tested.send("panic\n").await;
    let Tested { client: _client, served, ends } = tested;
    assert!(served.await.is_err_and(|error: JoinError| error.is_panic()));
    assert_eq!(*ends.lock().unwrap(), [CloseReason::ServicePanic]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_end_of_a_session_disturbs_nothing() {
    let mut tested = Tested::new(Watch::never());
    tested.send("wait 7\n").await;
    tested.expect("hello\n1 wait 7\n").await;
    let (_, ended, ends) = tested.end().await;
    assert_eq!(ended.unwrap(), CloseReason::PeerEof);
    assert_eq!(ends, [CloseReason::PeerEof]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dropped_closes_its_session_as_cut() {
    let mut tested = Tested::new(Watch::never());
    tested.expect("hello\n").await;
    tested.served.abort();
    let Tested { client: _client, served, ends } = tested;
    assert!(served.await.is_err_and(|error: JoinError| error.is_cancelled()));
    assert_eq!(*ends.lock().unwrap(), [CloseReason::Shutdown]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_ends_the_connection_behind_the_parts_before_it() {
    let mut tested = Tested::new(Watch::never());
    tested.send("a\nparts 11\nb\n").await;
    let (said, ended, ends) = tested.end().await;
    assert_eq!(said.len(), "hello\na\n".len() + 160 * KIB);
    assert_eq!(ended.unwrap_err().to_string(), "no more");
    assert_eq!(ends, [CloseReason::ServiceError]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_needs_a_permit_and_what_does_not_needs_none() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let permits = Arc::new(Semaphore::new(1));
    let limit = ConcurrencyLimitLayer::new(permits.clone()).load_shed(LoadShed::WhenFull);
    let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(SECOND), &limit);
    let connect = || {
        let (client, server) = duplex(KIB);
        let (ends, conn) = (Ends::default(), Conn::new(None));
        let session = Tester { ends: ends.clone(), ..Tester::default() };
        let responder = SessionResponder::new(session, conn, stack.clone());
        let mut serve = Serve::unboxed(Echo).stats(stats.clone()).one(responder);
        let transport = FramedTransport::new(server, BatchCodec::<Lf>::new(KIB));
        let served = tokio::spawn(serve.call(transport));
        Tested { client, served, ends }
    };
    let (mut first, mut second) = (connect(), connect());
    first.send("wait 60000\n").await;
    first.expect("hello\n").await;
    tokio::task::yield_now().await;
    assert_eq!(permits.in_use(), 1);
    second.send("a\nwait 1\nb\n").await;
    second.expect("hello\na\nERR overloaded\nb\n").await;
    first.expect("ERR timeout\n").await;
    assert_eq!(permits.in_use(), 0);
    let (.., ends) = first.end().await;
    assert_eq!(ends, [CloseReason::PeerEof]);
    let (_, ended, _) = second.end().await;
    assert_eq!(ended.unwrap(), CloseReason::PeerEof);
    assert_eq!((stats.lines_received.get(), stats.batches.get()), (4, 2));
    let by = |result: LineResult| stats.lines_processed[result as usize].get();
    let counted = [LineResult::Ok, LineResult::Timeout, LineResult::Shed].map(by);
    assert_eq!(counted, [2, 1, 1]);
}

/// How a client ends, or its server.
#[derive(Debug, Clone, Copy)]
enum Death {
    HalfClose,
    Drop,
    Abort,
    Drain,
    Panic,
    Quit,
}

proptest! {
    #[test]
    fn a_session_ends_exactly_once_however_it_ends(
        lines in vec(select(&["a", "two", "wait 5", "wait 7", "hang", "timer", "parts 2", "long 900"][..]), 0..6),
        death in select(&[
            Death::HalfClose, Death::Drop, Death::Abort, Death::Drain, Death::Panic, Death::Quit,
        ][..]),
        cut in 0_usize..8,
        pause in 0_u64..10,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let ends = runtime.block_on(async {
            let (signal, watch) = drain::channel();
            let Tested { mut client, served, ends } = Tested::new(watch);
            let mut input: String = lines.iter().map(|line| format!("{line}\n")).collect();
            match death {
                Death::Panic => input.push_str("panic\n"),
                Death::Quit => input.push_str("quit\n"),
                _ => input.truncate(input.len().saturating_sub(cut)),
            }
            client.write_all(input.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(pause)).await;
            let mut client = Some(client);
            match death {
                Death::Drop => drop(client.take()),
                Death::Abort => served.abort(),
                Death::Drain => signal.drain(),
                _ => {}
            }
            if let Some(client) = &mut client {
                client.shutdown().await.unwrap();
                let _ = client.read_to_end(&mut Vec::new()).await;
            }
            drop(client);
            let _ = served.await;
            ends.lock().unwrap().clone()
        });
        prop_assert_eq!(ends.len(), 1, "{:?}", ends);
    }
}
