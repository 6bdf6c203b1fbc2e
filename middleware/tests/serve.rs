//! The serving loop of an open connection: order, write policy, back-pressure.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::sleep,
};
use tokio_test::{assert_pending, task};
use tower::service_fn;
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{
    Echo, FramedTransport, Lines, LinesBatchCodec, Utf8LinesCodec, drain,
    internal::BLOCK_BYTES,
    serve::{Connection, Serve, WritePolicy},
    serve_connection,
    stats::{CloseReason, State, Stats},
};
use towline_test_support::{End, FaultyIo, Step, assert_closed_once, every, serve};

const LINE_BYTES_MAX: usize = 64 * 1024;

fn transport(io: FaultyIo) -> FramedTransport<FaultyIo, LinesBatchCodec> {
    FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX))
}

/// The client of an echo with this write policy.
fn echo(policy: WritePolicy) -> DuplexStream {
    let (client, server) = duplex(LINE_BYTES_MAX);
    let connection = Serve::new(Echo)
        .write_policy(policy)
        .call(FramedTransport::new(server, LinesBatchCodec::new(LINE_BYTES_MAX)));
    tokio::spawn(connection);
    client
}

#[track_caller]
fn assert_echoed(got: &[u8], sent: &[u8]) {
    assert!(got == sent, "{} bytes came back for {}, or other ones", got.len(), sent.len());
}

#[tokio::test(start_paused = true)]
async fn a_lone_line_is_answered_without_a_second_one() {
    let mut client = echo(WritePolicy::Auto);
    client.write_all(b"alone\n").await.unwrap();
    let mut reply = [0; 6];
    client.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"alone\n");
}

#[tokio::test(start_paused = true)]
async fn nine_lines_are_answered_with_every_write_policy() {
    let nine = b"1\n22\n333\n\n5\n6\n7\n8\n9\n";
    let policies = [1, 2, 4, 8, 9, 10, 1000].map(every);
    for policy in policies.into_iter().chain([WritePolicy::Auto]) {
        let mut client = echo(policy);
        // At once, and line by line with a pause.
        client.write_all(nine).await.unwrap();
        let mut reply = vec![0; nine.len()];
        client.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, nine, "{policy:?}");
        for line in nine.split_inclusive(|&byte| byte == b'\n') {
            client.write_all(line).await.unwrap();
            let mut reply = vec![0; line.len()];
            client.read_exact(&mut reply).await.unwrap();
            assert_eq!(reply, line, "{policy:?}");
        }
    }
}

#[test]
fn fifty_pipelined_lines_are_answered_in_one_write() {
    for (policy, writes) in [
        (WritePolicy::Auto, vec![250]),
        (every(1), vec![5; 50]),
        (every(20), vec![100, 100, 50]),
        (every(50), vec![250]),
        (every(51), vec![250]),
    ] {
        let io = FaultyIo::new("line\n".repeat(50));
        let record = io.record();
        serve(io, LinesBatchCodec::new(LINE_BYTES_MAX), Echo, policy);
        assert_eq!(record.get().writes, writes, "{policy:?}");
    }
}

#[test]
fn lines_of_several_reads_count_together_for_the_write_policy() {
    // Two lines per read: the third read brings the fifth line.
    let io = FaultyIo::new("abc\n".repeat(8)).reads([Step::Take(8); 4]);
    let record = io.record();
    serve(io, LinesBatchCodec::new(LINE_BYTES_MAX), Echo, every(5));
    assert_eq!(record.get().writes, [20, 12]);
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_buffered_when_the_task_parks() {
    for policy in [WritePolicy::Auto, every(100)] {
        let (service, mut handle) = mock::pair::<Lines, Lines>();
        let io = FaultyIo::new("a\nb\n").reads([Step::Take(2)]).end(End::Silence);
        let record = io.record();
        let mut connection =
            task::spawn(Serve::new(service).write_policy(policy).call(transport(io)));
        handle.allow(2);
        assert_pending!(connection.poll());

        // It parks for the second reply, and has the first one.
        let (_, first) = handle.next_request().await.unwrap();
        first.send_response(Lines::new("A\n").unwrap());
        assert!(connection.is_woken());
        assert_pending!(connection.poll());
        assert_eq!(record.output(), b"A\n", "{policy:?}");

        // It parks for the next line.
        let (_, second) = handle.next_request().await.unwrap();
        second.send_response(Lines::new("B\n").unwrap());
        assert_pending!(connection.poll());
        assert_eq!(record.output(), b"A\nB\n", "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_keep_the_order_of_their_lines_when_the_first_is_the_slowest() {
    let served_at_once = Arc::new(AtomicUsize::new(0));
    let now = served_at_once.clone();
    let slow_first = service_fn(move |lines: Lines| {
        let now = now.clone();
        async move {
            assert_eq!(now.fetch_add(1, Relaxed), 0, "one batch at a time");
            let digit = u64::from(lines.as_bytes()[0] - b'0');
            sleep(Duration::from_secs(10 - digit)).await;
            now.fetch_sub(1, Relaxed);
            Ok::<_, Infallible>(lines)
        }
    });
    let input: String = (0..10).map(|n| format!("{n}\n")).collect();
    let io = FaultyIo::new(input.clone());
    let record = io.record();
    let one_by_one = FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX).lines_max(1));
    // The client has ended long before the first line is served.
    let reason = Serve::new(slow_first).half_close(None).call(one_by_one).await;
    assert_eq!(reason.unwrap(), CloseReason::PeerEof);
    assert_eq!(record.output(), input.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn fault_21_reading_stops_while_replies_cannot_be_written() {
    for limit in [4 * 1024, 256 * 1024] {
        let io = FaultyIo::new("abc\n".repeat(1 << 20)).then_stuck();
        let record = io.record();
        let stats = Arc::new(Stats::new(Instant::now()));
        let serve = Serve::new(Echo).output_bytes_max(limit).stats(stats.clone());
        let mut connection = task::spawn(serve.clone().call(transport(io)));
        // It yields after each full read, and once more before it tries to write again; each time it is
        // woken after the others have run.
        for _ in 0..2 * limit / BLOCK_BYTES + 3 {
            assert_pending!(connection.poll());
            tokio::task::yield_now().await;
            if !connection.is_woken() {
                break;
            }
        }
        assert!(!connection.is_woken());
        // Only the batch in service when the limit was reached is above it.
        let consumed = record.get().consumed;
        assert!(consumed <= limit + BLOCK_BYTES, "{consumed} bytes taken with a limit of {limit}");
        let read = stats.states.snapshot();
        assert_eq!(read.connections[State::WriteWait as usize], 1);
        assert_eq!(stats.write_buffer_bytes.get(), consumed as i64);
        drop(connection);
        assert_closed_once(&stats, CloseReason::Shutdown);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_late_gets_everything() {
    let (mut client, server) = duplex(100);
    let codec = LinesBatchCodec::new(LINE_BYTES_MAX);
    tokio::spawn(serve_connection(server, codec, Echo, drain::Watch::never()));
    let sent = Bytes::from("0123456789\n".repeat(50_000));
    let (mut from, mut to) = tokio::io::split(&mut client);
    let mut got = Vec::new();
    let write = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let read = async {
        sleep(Duration::from_secs(60)).await;
        from.read_to_end(&mut got).await.unwrap();
    };
    tokio::join!(write, read);
    assert_echoed(&got, &sent);
}

/// With the policy `Every` a reply that is not UTF-8 was counted as an error of the client,
/// `invalid_utf8`, and the connection was cut without a linger; with `Auto`, as one of the service.
#[test]
fn a_reply_that_the_codec_cannot_send_is_a_service_error_with_every_policy() {
    for policy in [WritePolicy::Auto, every(1)] {
        let noise = service_fn(|_: Lines| async {
            Ok::<_, Infallible>(Lines::new(&b"\xff\n"[..]).unwrap())
        });
        let (reason, output) = serve(FaultyIo::new("a\n"), Utf8LinesCodec::new(9), noise, policy);
        assert_eq!((reason, &output[..]), (CloseReason::ServiceError, &b""[..]), "{policy:?}");
    }
}

/// The type of a served connection can be named.
#[test]
fn a_connection_is_send() {
    fn assert_send<T: Send>() {}
    assert_send::<Connection<FramedTransport<DuplexStream, LinesBatchCodec>, Echo>>();
}
