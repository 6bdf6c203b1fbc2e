//! A session that does what its frames say, on a connection in memory.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
    time::{Sleep, sleep, timeout},
};
use tower_service::Service;
use towline_middleware::{
    BatchCodec, BoxError, Echo, FramedTransport,
    drain::Watch,
    protocol::Lf,
    reply::Close,
    serve::Serve,
    session::{
        Action, ActionOf, Conn, Cx, Deferred, FrameOf, Overlap, ReplyStream, Session,
        SessionResponder, SessionStack,
    },
    stats::{CloseReason, Stats},
};

pub(crate) const KIB: usize = 1024;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a test sees of its session.
#[derive(Default)]
pub(crate) struct Seen {
    /// The frames that were called, in this order, and `timer`.
    pub(crate) called: Mutex<Vec<String>>,
    /// What `then` had back, in this order.
    pub(crate) back: Mutex<Vec<String>>,
    pub(crate) ends: Mutex<Vec<CloseReason>>,
    /// Futures that exist.
    pub(crate) futures: AtomicUsize,
    pub(crate) futures_max: AtomicUsize,
    pub(crate) polls: AtomicUsize,
    /// Of frames that wait for the test.
    pub(crate) senders: Mutex<VecDeque<oneshot::Sender<()>>>,
}

/// Counts a future as long as it exists.
struct Counted(Arc<Seen>);

impl Counted {
    fn new(seen: &Arc<Seen>) -> Self {
        let running = seen.futures.fetch_add(1, SeqCst) + 1;
        seen.futures_max.fetch_max(running, SeqCst);
        Self(seen.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.futures.fetch_sub(1, SeqCst);
    }
}

/// Does what its frames say: a word, mostly a time in milliseconds, and the reply.
pub(crate) struct Tester {
    overlap: Overlap,
    seen: Arc<Seen>,
}

impl Tester {
    /// A future that takes its time, none at all for 0.
    fn work(&self, millis: &str, reply: &str) -> impl Future<Output = String> + Send + use<> {
        let counted = Counted::new(&self.seen);
        let (wait, reply) = (Duration::from_millis(millis.parse().unwrap()), reply.to_owned());
        async move {
            let _counted = counted;
            if !wait.is_zero() {
                sleep(wait).await;
            }
            reply
        }
    }
}

impl Session for Tester {
    type Protocol = Lf;

    fn overlap(&self) -> Overlap {
        self.overlap
    }

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        let line = std::str::from_utf8(frame).unwrap();
        self.seen.called.lock().unwrap().push(line.to_owned());
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "say" => cx.reply(word()),
            "nothing" => Action::Continue,
            "long" => cx.reply("x".repeat(word().parse().unwrap())),
            "wait" => cx.reply(Deferred::<Lf, Self>::new(self.work(word(), word()))),
            "within" => {
                let within = Duration::from_millis(word().parse().unwrap());
                cx.reply(Deferred::<Lf, Self>::new(self.work("3600000", "")).within(within))
            }
            "both" => {
                cx.write("at once");
                cx.reply(Deferred::<Lf, Self>::new(self.work(word(), word())))
            }
            "then" => cx.reply(Deferred::then(
                self.work(word(), word()),
                |tester: &mut Self, reply, cx| {
                    tester.seen.back.lock().unwrap().push(reply.clone());
                    cx.reply(reply)
                },
            )),
            // Waits twice.
            "again" => {
                let (first, second, reply) = (word(), word().to_owned(), word().to_owned());
                cx.reply(Deferred::then(self.work(first, ""), move |tester: &mut Self, _, cx| {
                    cx.reply(Deferred::<Lf, Self>::new(tester.work(&second, &reply)))
                }))
            }
            "close" => cx
                .reply(Deferred::then(self.work(word(), word()), |_: &mut Self, reply, cx| {
                    cx.reply(Close(reply))
                })),
            "stream" => Action::ReplyStream(parts(word(), word())),
            "then-stream" => {
                let (millis, part) = (word(), word().to_owned());
                cx.reply(Deferred::then(self.work(millis, ""), move |_: &mut Self, _, _| {
                    Action::ReplyStream(parts(&part, "3"))
                }))
            }
            "panic" => cx.reply(Deferred::then(self.work(word(), ""), |_: &mut Self, _, _| {
                panic!("as the line said")
            })),
            "test" => {
                let (sender, receiver) = oneshot::channel();
                self.seen.senders.lock().unwrap().push_back(sender);
                let reply = word().to_owned();
                let future = Waits { receiver, counted: Counted::new(&self.seen) };
                cx.reply(Deferred::<Lf, Self>::new(async move {
                    future.await;
                    reply
                }))
            }
            "timer" => {
                cx.set_timer(Duration::from_millis(word().parse().unwrap()));
                cx.reply("set")
            }
            "quit" => cx.reply(Close("bye")),
            _ => panic!("unknown: {line}"),
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.seen.called.lock().unwrap().push("timer".to_owned());
        cx.reply("tick")
    }

    fn on_drain(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.close("going down")
    }

    fn on_close(self, reason: CloseReason) {
        self.seen.ends.lock().unwrap().push(reason);
    }
}

/// Waits for the test, and counts how often it is polled.
struct Waits {
    receiver: oneshot::Receiver<()>,
    counted: Counted,
}

impl Future for Waits {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.counted.0.polls.fetch_add(1, SeqCst);
        Pin::new(&mut self.receiver).poll(cx).map(|_| ())
    }
}

/// A line of `count` times `word`, each of which takes 10 ms.
fn parts(word: &str, count: &str) -> ReplyStream {
    struct Parts {
        word: String,
        left: usize,
        sleep: Pin<Box<Sleep>>,
    }
    impl Stream for Parts {
        type Item = io::Result<Bytes>;
        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.sleep = Box::pin(sleep(Duration::from_millis(10)));
            self.left -= 1;
            let end = if self.left == 0 { "\n" } else { "" };
            Poll::Ready(Some(Ok(format!("{}{end}", self.word).into())))
        }
    }
    let left = count.parse().unwrap();
    let sleep = Box::pin(sleep(Duration::from_millis(10)));
    ReplyStream::new(Parts { word: word.to_owned(), left, sleep })
}

/// A connection of a [`Tester`], in memory.
pub(crate) struct Tested {
    pub(crate) client: DuplexStream,
    pub(crate) served: JoinHandle<Result<CloseReason, BoxError>>,
    pub(crate) seen: Arc<Seen>,
}

impl Tested {
    pub(crate) fn new(overlap: Overlap) -> Self {
        Self::draining(overlap, Watch::never())
    }

    pub(crate) fn draining(overlap: Overlap, drain: Watch) -> Self {
        Self::with(overlap, drain, SessionStack::unlimited(), &Stats::unobserved())
    }

    pub(crate) fn with(
        overlap: Overlap,
        drain: Watch,
        stack: SessionStack,
        stats: &Arc<Stats>,
    ) -> Self {
        let (client, server) = duplex(64 * KIB);
        let seen = Arc::<Seen>::default();
        let session = Tester { overlap, seen: seen.clone() };
        let responder = SessionResponder::new(session, Conn::new(None), stack);
        let mut serve = Serve::unboxed(Echo).stats(stats.clone()).drain(drain).one(responder);
        let transport = FramedTransport::new(server, BatchCodec::<Lf>::new(KIB));
        let served = tokio::spawn(serve.call(transport));
        Self { client, served, seen }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads as much as `text`, which it must be.
    pub(crate) async fn expect(&mut self, text: &str) {
        let mut said = vec![0; text.len()];
        let read = timeout(3600 * SECOND, self.client.read_exact(&mut said)).await;
        assert!(matches!(read, Ok(Ok(_))), "{read:?} for {text:?}: {:?}", String::from_utf8(said));
        assert_eq!(String::from_utf8(said).unwrap(), text);
    }

    /// Everything that comes until the server closes, and why it did.
    pub(crate) async fn rest(&mut self) -> (String, CloseReason) {
        let mut said = String::new();
        self.client.read_to_string(&mut said).await.unwrap();
        self.client.shutdown().await.unwrap();
        let ended = (&mut self.served).await.unwrap().unwrap();
        assert_eq!(*self.seen.ends.lock().unwrap(), [ended]);
        (said, ended)
    }

    pub(crate) fn called(&self) -> usize {
        self.seen.called.lock().unwrap().len()
    }

    pub(crate) fn futures(&self) -> usize {
        self.seen.futures.load(SeqCst)
    }
}
