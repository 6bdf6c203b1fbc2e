//! What a peer means by closing its sending side, as its protocol says, while something is awaited for it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::ErrorKind,
    marker::PhantomData,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tower::service_fn;
use towline_middleware::{
    Batch, BatchCodec, BoxError,
    drain::Watch,
    protocol::{Delimited, FrameError, FrameLimits, Lf, Notice, Protocol},
    reply::Replies,
    serve_connection,
    session::{Action, ActionOf, Cx, Deferred, FrameOf, ReplyStream, Session, serve_session},
    stats::CloseReason,
};
use towline_test_support::{End, FaultyIo};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Lines whose peers wait for their replies when they have closed their side.
enum Patient {}

/// Lines whose peers are gone when they have closed their side.
enum Hasty {}

macro_rules! lines {
    ($protocol:ty, $half_close:expr) => {
        impl Protocol for $protocol {
            type Frame<'a> = &'a [u8];

            const HALF_CLOSE: Option<Duration> = $half_close;

            fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
                Lf::delimit(bytes, limits)
            }

            fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
                Lf::next(bytes)
            }

            fn notice(notice: &Notice<'_>, out: &mut BytesMut) {
                Lf::notice(notice, out);
            }
        }

        impl Replies for $protocol {
            fn text(text: &[u8], out: &mut BytesMut) {
                Lf::text(text, out);
            }
        }
    };
}

lines!(Patient, None);
lines!(Hasty, Some(Duration::ZERO));

/// How a connection ended that has closed its side while an hour's work is done for it.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    replies: String,
    reason: CloseReason,
    /// Whole milliseconds from the half-close to the end.
    after_millis: u128,
}

impl Ended {
    fn new(replies: &str, after: Duration) -> Self {
        let (replies, reason) = (replies.to_owned(), CloseReason::PeerEof);
        Self { replies, reason, after_millis: after.as_millis() }
    }
}

/// Half-closes a second after it has sent `lines`.
async fn half_close<F>(lines: &str, serve: impl FnOnce(tokio::io::DuplexStream) -> F) -> Ended
where
    F: Future<Output = Result<CloseReason, BoxError>> + Send + 'static,
{
    let (mut client, server) = duplex(1024);
    let served = tokio::spawn(serve(server));
    client.write_all(lines.as_bytes()).await.unwrap();
    sleep(SECOND).await;
    client.shutdown().await.unwrap();
    let begun = Instant::now();
    let mut replies = String::new();
    client.read_to_string(&mut replies).await.unwrap();
    let reason = served.await.unwrap().unwrap();
    Ended { replies, reason, after_millis: begun.elapsed().as_millis() }
}

async fn of_a_service<P: Protocol>() -> Ended {
    let slow = service_fn(|batch: Batch<P>| async move {
        sleep(HOUR).await;
        Ok::<_, BoxError>(batch)
    });
    half_close("a\n", |io| serve_connection(io, BatchCodec::new(64), slow, Watch::never())).await
}

/// Why sessions ended.
type Ends = Arc<Mutex<Vec<CloseReason>>>;

struct Slow<P>(Ends, PhantomData<fn() -> P>);

impl<P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>> Session for Slow<P> {
    type Protocol = P;

    fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        match line {
            b"later" => Action::Deferred(Deferred::new(async {
                sleep(HOUR).await;
                "done"
            })),
            b"parts" => {
                let mut hour = Box::pin(sleep(HOUR));
                let mut parts = vec![Bytes::from("done\n")];
                Action::ReplyStream(ReplyStream::new(stream::poll_fn(move |cx| {
                    match hour.as_mut().poll(cx) {
                        Poll::Ready(()) if parts.is_empty() => Poll::Ready(None),
                        Poll::Ready(()) => Poll::Ready(parts.pop().map(Ok::<_, BoxError>)),
                        Poll::Pending => Poll::Pending,
                    }
                })))
            }
            line => cx.reply(line),
        }
    }

    fn on_close(self, reason: CloseReason) {
        self.0.lock().unwrap().push(reason);
    }
}

async fn of_a_session<P>(lines: &str) -> Ended
where
    P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>,
{
    let ends = Ends::default();
    let session = Slow::<P>(ends.clone(), PhantomData);
    let serve = |io| serve_session(io, BatchCodec::new(64), session, Watch::never());
    let ended = half_close(lines, serve).await;
    assert_eq!(*ends.lock().unwrap(), [ended.reason]);
    ended
}

/// A protocol could not say what a half-close means: half a second for all of them.
#[tokio::test(start_paused = true)]
async fn a_call_goes_on_as_long_as_its_protocol_says() {
    let grace = Duration::from_millis(500);
    assert_eq!(of_a_service::<Lf>().await, Ended::new("", grace));
    assert_eq!(of_a_service::<Hasty>().await, Ended::new("", Duration::ZERO));
    assert_eq!(of_a_service::<Patient>().await, Ended::new("a\n", HOUR - SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_a_session_waits_for_is_as_a_call() {
    let grace = Duration::from_millis(500);
    for later in ["later\n", "parts\n"] {
        let lines = format!("a\n{later}b\n");
        assert_eq!(of_a_session::<Lf>(&lines).await, Ended::new("a\n", grace), "{later}");
        let at_once = Ended::new("a\n", Duration::ZERO);
        assert_eq!(of_a_session::<Hasty>(&lines).await, at_once, "{later}");
        let served = Ended::new("a\ndone\nb\n", HOUR - SECOND);
        assert_eq!(of_a_session::<Patient>(&lines).await, served, "{later}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_nothing_answers_everything_that_was_sent() {
    assert_eq!(of_a_session::<Hasty>("a\nb\n").await, Ended::new("a\nb\n", Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_what_a_session_waits_for_at_once_whatever_its_protocol_says() {
    for lines in ["later\n", "parts\n"] {
        let ends = Ends::default();
        let io = FaultyIo::new(lines).end(End::Fail(ErrorKind::ConnectionReset));
        let session = Slow::<Patient>(ends.clone(), PhantomData);
        let begun = Instant::now();
        let ended = serve_session(io, BatchCodec::new(64), session, Watch::never()).await.unwrap();
        assert_eq!((ended, begun.elapsed()), (CloseReason::PeerReset, Duration::ZERO));
        assert_eq!(*ends.lock().unwrap(), [CloseReason::PeerReset]);
    }
}
