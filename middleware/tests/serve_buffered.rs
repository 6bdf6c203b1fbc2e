//! Connections over streams that buffer what they take, or close in steps, as TLS does.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf, duplex},
    time::{Instant, sleep},
};
use tower::ServiceBuilder;
use tower_service::Service;
use towline_middleware::{
    Echo, FramedTransport, FramingLayer, LinesBatchCodec,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::{LINGER, Serve},
    stats::{CloseReason, State, Stats},
};
use towline_test_support::{FaultyIo, assert_closed_once, assert_on_time, block_on, secs};

/// A stream that buffers took the reply, and nothing was unsent any more: the connection was shown as idle,
/// and a client that never read was kept for ever, whatever the write deadline.
#[tokio::test(start_paused = true)]
async fn fault_06_a_client_that_never_reads_from_a_stream_that_buffers_meets_the_write_deadline() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut stack = ServiceBuilder::new()
        .layer(FramingLayer::new(LinesBatchCodec::new, 99))
        .layer(HeartbeatLayer::new(Deadlines::new().write(Some(secs(10))), stats.clone()))
        .service(Serve::new(Echo).stats(stats.clone()));
    let (mut client, server) = duplex(8);
    let connection = tokio::spawn(stack.call(BufWriter::new(server)));
    client.write_all(b"a line that does not fit\n").await.unwrap();
    let start = Instant::now();
    sleep(secs(1)).await;
    let state = |state| stats.states.snapshot().connections[state as usize];
    assert_eq!([state(State::WriteWait), state(State::Idle)], [1, 0]);
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::WriteTimeout);
    assert_on_time(start.elapsed(), secs(10));
}

/// A client that reads after all has everything, and is idle then.
#[tokio::test(start_paused = true)]
async fn a_stream_that_buffers_is_flushed_when_its_client_reads() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let (mut client, server) = duplex(8);
    let transport = FramedTransport::new(BufWriter::new(server), LinesBatchCodec::new(99));
    let connection = tokio::spawn(Serve::new(Echo).stats(stats.clone()).call(transport));
    let line = b"a line that does not fit\n";
    for _ in 0..3 {
        client.write_all(line).await.unwrap();
        sleep(secs(1)).await;
        client.read_exact(&mut [0; 25]).await.unwrap();
    }
    sleep(secs(1)).await;
    assert_eq!(stats.states.snapshot().connections[State::Idle as usize], 1);
    assert_eq!(stats.write_buffer_bytes.get(), 0);
    drop(client);
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::PeerEof);
}

/// After the end of input the stream was dropped without a shutdown: over TLS the client would have got no
/// `close_notify`, and could not tell the end from a cut.
#[test]
fn the_stream_is_shut_down_after_the_last_reply_when_the_client_has_ended() {
    let io = FaultyIo::new("one\ntwo\n");
    let record = io.record();
    let transport = FramedTransport::new(io, LinesBatchCodec::new(99));
    let ended = block_on(async { Serve::new(Echo).call(transport).await });
    assert_eq!(ended.unwrap(), CloseReason::PeerEof);
    assert_eq!((record.output().len(), record.get().shut_down_after), (8, Some(8)));
}

/// Closes after a while, or never.
struct SlowClose {
    io: FaultyIo,
    closes: Pin<Box<tokio::time::Sleep>>,
}

impl AsyncRead for SlowClose {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for SlowClose {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closes.as_mut().poll(cx).map(Ok)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_closes_slowly_has_the_time_of_the_linger_and_the_client_has_ended() {
    const MILLI: Duration = Duration::from_millis(1);
    for (closes, ends) in [(secs(1), secs(1)), (secs(3600), LINGER)] {
        let stats = Arc::new(Stats::new(Instant::now()));
        let io = SlowClose { io: FaultyIo::new("a\n"), closes: Box::pin(sleep(closes)) };
        let transport = FramedTransport::new(io, LinesBatchCodec::new(99));
        let start = Instant::now();
        let ended = Serve::new(Echo).stats(stats.clone()).call(transport).await;
        assert_eq!(ended.unwrap(), CloseReason::PeerEof);
        assert!((ends..=ends + MILLI).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_closed_once(&stats, CloseReason::PeerEof);
        assert_eq!(stats.lingering.get(), 0);
    }
}
