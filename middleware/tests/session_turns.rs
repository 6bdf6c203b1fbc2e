//! Sessions whose connections carry more than frames: bodies, and byte streams.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{sleep, timeout},
};
use towline_middleware::{
    BatchCodec, BoxError,
    drain::{self, Watch},
    protocol::Lf,
    session::{
        Action, ActionOf, Body, Cx, Deferred, Detach, FrameOf, Overlap, Session, serve_session,
    },
    stats::CloseReason,
};

const SECOND: Duration = Duration::from_secs(1);

/// A session that does what its frames say.
#[derive(Default)]
struct Tester {
    overlap: bool,
    /// Pieces and bytes of the body that comes.
    taken: Vec<u8>,
    ends: Arc<Mutex<Vec<CloseReason>>>,
}

impl Session for Tester {
    type Protocol = Lf;

    fn overlap(&self) -> Overlap {
        if self.overlap { Overlap::ordered(8) } else { Overlap::OFF }
    }

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        let line = str::from_utf8(frame).unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "put" => cx.reply(Body::bytes(rest.parse().unwrap()).at_most(1000)),
            "data" => {
                cx.write("go ahead");
                Action::Body(Body::until("\n.\n").at_most(1000))
            }
            "later" => Action::Deferred(Deferred::new(async {
                sleep(SECOND).await;
                "later"
            })),
            "echo" => {
                cx.write("go ahead");
                Action::Detach(Detach::new(|mut stream| async move {
                    let mut piece = [0; 100];
                    while let Ok(n @ 1..) = stream.read(&mut piece).await {
                        stream.write_all(&piece[..n]).await.unwrap();
                    }
                    stream.write_all(b"end").await.unwrap();
                }))
            }
            "until_drain" => Action::Detach(Detach::new(|mut stream| async move {
                stream.drain().await;
                stream.write_all(b"drained").await.unwrap();
            })),
            "panic" => Action::Detach(Detach::new(|_| async { panic!("as the line said") })),
            "never" => Action::Detach(Detach::new(|stream| async move {
                sleep(1000 * SECOND).await;
                drop(stream);
            })),
            _ => cx.reply(line),
        }
    }

    fn on_body(&mut self, piece: &[u8], last: bool, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        self.taken.extend_from_slice(piece);
        if !last {
            return Action::Continue;
        }
        let body = String::from_utf8(std::mem::take(&mut self.taken)).unwrap();
        cx.reply(format!("body {}", body.escape_debug()))
    }

    fn on_close(self, reason: CloseReason) {
        self.ends.lock().unwrap().push(reason);
    }
}

type Served = JoinHandle<Result<CloseReason, BoxError>>;

fn serve(session: Tester, drain: Watch) -> (DuplexStream, Served) {
    let (client, server) = duplex(1 << 20);
    (client, tokio::spawn(serve_session(server, BatchCodec::new(1024), session, drain)))
}

/// Everything that a connection says to `input`, of which a piece of each length comes at a time.
async fn said_to(input: &str, lens: &[usize], session: Tester) -> (String, CloseReason) {
    let (mut client, served) = serve(session, Watch::never());
    let (mut rest, mut lens) = (input.as_bytes(), lens.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(*lens.next().unwrap()));
        client.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
        rest = behind;
    }
    // A peer that ends is not waited for with what is deferred.
    sleep(2 * SECOND).await;
    client.shutdown().await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    (said, served.await.unwrap().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Frames, bodies and a byte stream follow one another, and none takes a byte of another.
    #[test]
    fn what_follows_a_frame_does_not_depend_on_how_the_input_is_cut(
        lens in vec(1..30_usize, 1..6),
        overlap: bool,
    ) {
        let input = "one\nput 5\na\nb\nctwo\nput 0\ndata\nx\n..\n\n.\nthree\nput 3\nabcput 1\n\nlater\nput 2\nhiecho\nraw\nbytes";
        let said = "one\nbody a\\nb\\nc\ntwo\nbody \ngo ahead\nbody x\\n..\\n\nthree\nbody abc\nbody \\n\nlater\nbody hi\ngo ahead\nraw\nbytesend";
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let session = Tester { overlap, ..Tester::default() };
        let (found, reason) = runtime.block_on(said_to(input, &lens, session));
        prop_assert_eq!((found.as_str(), reason), (said, CloseReason::ServiceClose));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_ends_the_connection_with_the_word_of_the_protocol() {
    let long = format!("data\n{}\n.\nunserved\n", "x".repeat(1001));
    let (said, reason) = said_to(&long, &[64], Tester::default()).await;
    assert_eq!(said, "go ahead\nERR line too long\n");
    assert_eq!(reason, CloseReason::LineTooLong);
    let ends_early = "put 10\nabc";
    let (said, reason) = said_to(ends_early, &[64], Tester::default()).await;
    assert_eq!((said.as_str(), reason), ("", CloseReason::PeerEof));
}

#[tokio::test(start_paused = true)]
async fn a_byte_stream_is_told_of_the_drain_and_ends_by_itself() {
    let (signal, watch) = drain::channel();
    let session = Tester::default();
    let ends = session.ends.clone();
    let (mut client, served) = serve(session, watch);
    client.write_all(b"until_drain\n").await.unwrap();
    let mut said = String::new();
    let waits = timeout(SECOND, client.read_to_string(&mut said)).await;
    assert!(waits.is_err(), "it ended by itself: {said}");
    signal.drain();
    client.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "drained");
    drop(client);
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::ServiceClose);
    assert_eq!(*ends.lock().unwrap(), [CloseReason::ServiceClose]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_what_serves_a_byte_stream_ends_its_session_too() {
    let session = Tester::default();
    let ends = session.ends.clone();
    let (mut client, served) = serve(session, Watch::never());
    client.write_all(b"panic\n").await.unwrap();
    assert!(served.await.unwrap_err().is_panic());
    assert_eq!(*ends.lock().unwrap(), [CloseReason::ServicePanic]);
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_to_a_stream_that_nothing_reads_is_held_back() {
    let (mut client, served) = serve(Tester::default(), Watch::never());
    client.write_all(b"never\n").await.unwrap();
    let endless = async {
        let piece = vec![b'x'; 64 << 10];
        let mut bytes = 0;
        while timeout(SECOND, client.write_all(&piece)).await.is_ok() {
            bytes += piece.len();
        }
        bytes
    };
    // What the pipe holds, a read block, and what was read behind that.
    assert!(endless.await <= (1 << 20) + (128 << 10));
    served.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_another_task_has_fails_when_its_connection_is_cut() {
    /// Says how the read ended.
    struct Elsewhere(Option<tokio::sync::oneshot::Sender<std::io::Error>>);

    impl Session for Elsewhere {
        type Protocol = Lf;

        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            let told = self.0.take().unwrap();
            Action::Detach(Detach::new(|mut stream| async move {
                tokio::spawn(async move {
                    told.send(stream.read(&mut [0]).await.unwrap_err()).unwrap();
                });
                std::future::pending::<()>().await;
            }))
        }
    }

    let (told, ended) = tokio::sync::oneshot::channel();
    let (mut client, server) = duplex(1024);
    let codec = BatchCodec::new(1024);
    let served = tokio::spawn(serve_session(server, codec, Elsewhere(Some(told)), Watch::never()));
    client.write_all(b"go\n").await.unwrap();
    sleep(SECOND).await;
    served.abort();
    assert_eq!(ended.await.unwrap().kind(), std::io::ErrorKind::ConnectionAborted);
}
