//! Replies that are more than bytes: none, last words, and replies in parts.

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
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tower::{Service, service_fn};
use towline_middleware::{
    BoxError, FramedTransport, Lines, LinesBatchCodec, Response, drain::Watch, serve::Serve,
    serve_connection, stats::CloseReason,
};

const KIB: usize = 1024;

type Ended = JoinHandle<Result<CloseReason, BoxError>>;

/// Answers each line by its word, in memory.
fn connect() -> (DuplexStream, Ended) {
    let (client, server) = duplex(64 * KIB);
    let service = service_fn(|lines: Lines| async move {
        let word = lines.iter().next().unwrap().to_vec();
        let response = match &word[..] {
            b"NONE" => Response::none(),
            b"QUIT" => Response::from(Lines::from_iter(["BYE"])).close(),
            b"PARTS" => Response::from(Lines::from_iter(["0"])).parts(Numbers { next: 1, last: 3 }),
            b"FAIL" => Response::none().parts(Failing { failed: false }),
            _ => lines.into(),
        };
        Ok::<_, BoxError>(response)
    });
    let codec = LinesBatchCodec::new(KIB).lines_max(1);
    let ended = tokio::spawn(serve_connection(server, codec, service, Watch::never()));
    (client, ended)
}

/// Lines with numbers.
struct Numbers {
    next: u32,
    last: u32,
}

impl Stream for Numbers {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let n = self.next;
        self.next += 1;
        Poll::Ready((n <= self.last).then(|| Ok(format!("{n}\n").into())))
    }
}

/// One line, then an error.
struct Failing {
    failed: bool,
}

impl Stream for Failing {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let fails = std::mem::replace(&mut self.failed, true);
        Poll::Ready(Some(if fails { Err(io::Error::other("no two")) } else { Ok("one\n".into()) }))
    }
}

async fn said(mut client: DuplexStream) -> String {
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_have_no_reply_and_one_in_parts_comes_before_the_next() {
    let (mut client, ended) = connect();
    client.write_all(b"a\nNONE\nb\nPARTS\nc\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(said(client).await, "a\nb\n0\n1\n2\n3\nc\n");
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_behind_its_last_words_and_the_rest_of_the_read_is_not_served() {
    let (mut client, ended) = connect();
    client.write_all(b"a\nQUIT\nnot served\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(said(client).await, "a\nBYE\n");
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::ServiceClose);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_ends_the_connection_behind_what_came_before() {
    let (mut client, ended) = connect();
    client.write_all(b"FAIL\nnot served\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(said(client).await, "one\n");
    assert_eq!(ended.await.unwrap().unwrap_err().to_string(), "no two");
}

/// Parts of 16 KiB, without end, and how many were asked for.
struct Endless(Arc<AtomicUsize>);

impl Stream for Endless {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(vec![b'x'; 16 * KIB].into())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_end_is_asked_for_as_the_peer_takes_it() {
    let asked = Arc::<AtomicUsize>::default();
    let (mut client, server) = duplex(KIB);
    let service = {
        let asked = asked.clone();
        service_fn(move |_: Lines| {
            let response: Response = Response::none().parts(Endless(asked.clone()));
            async { Ok::<_, BoxError>(response) }
        })
    };
    let transport = FramedTransport::new(server, LinesBatchCodec::new(KIB));
    let mut serve = Serve::new(service).output_bytes_max(64 * KIB);
    let ended = tokio::spawn(serve.call(transport));
    client.write_all(b"go\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let first = asked.load(SeqCst);
    assert!((4..=6).contains(&first), "{first} parts of 16 KiB against 64 KiB");

    let mut taken = vec![0; 1024 * KIB];
    client.read_exact(&mut taken).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let more = asked.load(SeqCst) - first;
    assert!((62..=66).contains(&more), "{more} parts for a MiB");

    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerReset);
}

/// Never has a part, and holds something while it is there.
struct Silent {
    _held: Arc<()>,
}

impl Stream for Silent {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_ends_with_its_peer() {
    let held = Arc::new(());
    let (mut client, server) = duplex(KIB);
    let service = {
        let held = held.clone();
        service_fn(move |_: Lines| {
            let silent = Silent { _held: held.clone() };
            let response = Response::from(Lines::from_iter(["wait"])).parts(silent);
            async { Ok::<_, BoxError>(response) }
        })
    };
    let codec = LinesBatchCodec::new(KIB);
    let ended = tokio::spawn(serve_connection(server, codec, service, Watch::never()));
    client.write_all(b"go\n").await.unwrap();
    let mut first = [0; 5];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"wait\n");
    drop(client);
    let ended = timeout(Duration::from_secs(5), ended).await.unwrap();
    assert_eq!(ended.unwrap().unwrap(), CloseReason::PeerEof);
    assert_eq!(Arc::strong_count(&held), 1);
}
