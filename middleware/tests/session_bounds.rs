//! What a session and its peer can make the server hold or do.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::sleep,
};
use towline_middleware::{
    BatchCodec,
    drain::Watch,
    protocol::Lf,
    session::{Action, ActionOf, Cx, FrameOf, ReplyStream, Session, serve_session},
    stats::CloseReason,
};

const KIB: usize = 1024;
const SECOND: Duration = Duration::from_secs(1);

/// A stream of empty parts was asked for the next one for ever, and the thread did nothing else.
/// On the real clock: a paused one stands still while a task is always runnable.
#[tokio::test]
async fn a_stream_of_empty_parts_lets_other_tasks_run() {
    struct Empty;
    impl Stream for Empty {
        type Item = io::Result<Bytes>;
        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(Some(Ok(Bytes::new())))
        }
    }
    struct Streams;
    impl Session for Streams {
        type Protocol = Lf;
        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            Action::ReplyStream(ReplyStream::new(Empty))
        }
    }
    let (mut client, server) = duplex(KIB);
    let served = serve_session(server, BatchCodec::new(KIB), Streams, Watch::never());
    let served = tokio::spawn(served);
    client.write_all(b"go\n").await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!served.is_finished());
    drop(client);
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::PeerEof);
}

/// A batch of 64 KiB of short lines with long replies made one reply of 640 MiB.
#[tokio::test(start_paused = true)]
async fn replies_that_the_peer_does_not_take_stop_the_session() {
    struct Long(Arc<AtomicUsize>);
    impl Session for Long {
        type Protocol = Lf;
        fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            self.0.fetch_add(1, SeqCst);
            cx.reply("x".repeat(60 * KIB - 1))
        }
    }
    let served = Arc::<AtomicUsize>::default();
    let (mut client, server) = duplex(64 * KIB);
    let session = Long(served.clone());
    let ended = tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, Watch::never()));
    client.write_all("GET a\n".repeat(10_000).as_bytes()).await.unwrap();
    sleep(SECOND).await;
    let first = served.load(SeqCst);
    assert!((5..=9).contains(&first), "{first} replies of 60 KiB against 256 KiB of output");

    let mut taken = vec![0; 60 * KIB * 100];
    client.read_exact(&mut taken).await.unwrap();
    sleep(SECOND).await;
    let more = served.load(SeqCst) - first;
    assert!((98..=102).contains(&more), "{more} replies for 100 that were taken");
    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerReset);
}

/// While a reply could not be written, the timer was not looked at.
#[tokio::test(start_paused = true)]
async fn the_timer_fires_while_the_peer_takes_no_replies() {
    struct Timed(Arc<AtomicUsize>);
    impl Session for Timed {
        type Protocol = Lf;
        fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.set_timer(SECOND);
            cx.reply("x".repeat(KIB))
        }
        fn on_timer(&mut self, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            self.0.fetch_add(1, SeqCst);
            Action::Continue
        }
    }
    let fired = Arc::<AtomicUsize>::default();
    let (mut client, server) = duplex(64);
    let session = Timed(fired.clone());
    let served = tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, Watch::never()));
    client.write_all(b"go\n").await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(fired.load(SeqCst), 1);
    drop(client);
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::PeerReset);
}
