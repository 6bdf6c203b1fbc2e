//! The serving loop while a connection lives: order, flushing, back-pressure, fairness.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use support::{End, FaultyIo, Step, every, served};
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
    internal::{BLOCK_BYTES, run_yield_queue},
    serve::{Connection, Serve, WritePolicy},
    serve_connection,
    stats::{CloseReason, State, Stats},
};

const LIMIT: usize = 64 * 1024;

fn transport(io: FaultyIo) -> FramedTransport<FaultyIo, LinesBatchCodec> {
    FramedTransport::new(io, LinesBatchCodec::new(LIMIT))
}

/// An echo behind a pipe, served under `policy`.
fn echo(policy: WritePolicy) -> DuplexStream {
    let (client, server) = duplex(LIMIT);
    let connection = Serve::new(Echo)
        .write_policy(policy)
        .call(FramedTransport::new(server, LinesBatchCodec::new(LIMIT)));
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
async fn nine_lines_are_answered_under_every_flush_policy() {
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
fn fifty_pipelined_lines_leave_in_one_write() {
    for (policy, writes) in [
        (WritePolicy::Auto, vec![250]),
        (every(1), vec![5; 50]),
        (every(20), vec![100, 100, 50]),
        (every(50), vec![250]),
        (every(51), vec![250]),
    ] {
        let io = FaultyIo::new("line\n".repeat(50));
        let record = io.record();
        served(io, LinesBatchCodec::new(LIMIT), Echo, policy);
        assert_eq!(record.get().writes, writes, "{policy:?}");
    }
}

#[test]
fn lines_of_several_reads_count_together_towards_the_policy() {
    // Two lines a read: the third read brings the fifth line.
    let io = FaultyIo::new("abc\n".repeat(8)).reads([Step::Take(8); 4]);
    let record = io.record();
    served(io, LinesBatchCodec::new(LIMIT), Echo, every(5));
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

        // It parks for the second reply, with the first one in hand.
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
    let io = FaultyIo::new(input.clone()).reads([Step::Take(2); 10]);
    let record = io.record();
    let reason = Serve::new(slow_first).call(transport(io)).await;
    assert_eq!(reason, Ok(CloseReason::PeerEof));
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
        // After each full read it gives way, which wakes it once the others ran, and once more before it
        // tries to write again.
        for _ in 0..2 * limit / BLOCK_BYTES + 3 {
            assert_pending!(connection.poll());
            tokio::task::yield_now().await;
        }
        assert!(!connection.is_woken());
        // What is over the limit is the one batch that was being served when it was reached.
        let consumed = record.get().consumed;
        assert!(consumed <= limit + BLOCK_BYTES, "{consumed} bytes taken with a limit of {limit}");
        let read = stats.states.snapshot();
        assert_eq!(read.connections[State::WriteWait as usize], 1);
        assert_eq!(stats.write_buffer_bytes.get(), consumed as i64);
        drop(connection);
        support::assert_ended_once(&stats, CloseReason::Shutdown);
    }
}

/// How often another task ran while a connection was served to its end.
async fn turns_of_others(
    connection: Connection<FramedTransport<FaultyIo, LinesBatchCodec>, Echo>,
) -> usize {
    let turns = Arc::new(AtomicUsize::new(0));
    let taken = turns.clone();
    let other = tokio::spawn(async move {
        loop {
            taken.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(tokio::spawn(connection).await.unwrap(), Ok(CloseReason::PeerEof));
    other.abort();
    turns.load(Relaxed)
}

#[tokio::test(start_paused = true)]
async fn fault_21_a_connection_whose_reads_are_full_gives_way_to_the_others() {
    const BLOCKS: usize = 32;
    let io = FaultyIo::new("abc\n".repeat(BLOCKS * BLOCK_BYTES / 4));
    let polled = turns_of_others(Serve::unboxed(Echo).call(transport(io))).await;
    assert!(polled >= BLOCKS - 1, "others ran {polled} times while {BLOCKS} blocks were read");
}

/// A socket that takes everything was given the replies of a batch one by one without a pause: with
/// `flush.policy = "line"` some 30 ms a block.
#[tokio::test(start_paused = true)]
async fn fault_21_a_batch_that_is_written_line_by_line_lets_others_run() {
    const LINES: usize = 10_000;
    let io = FaultyIo::new("a\n".repeat(LINES));
    let record = io.record();
    let polled =
        turns_of_others(Serve::unboxed(Echo).write_policy(every(1)).call(transport(io))).await;
    assert_eq!(record.get().writes, vec![2; LINES]);
    assert!(polled >= LINES / 200, "others ran {polled} times while {LINES} lines were written");
}

/// Only connections that had just filled a block waited in the yield queue. Flooding connections that
/// also waited for their replies were parked; one poll of the driver woke hundreds of them, and each was
/// served a block before a connection with one line: a thousand of them delayed it by 17 ms.
#[tokio::test]
async fn fault_22_flooders_that_wake_together_are_served_behind_a_line_that_came_after_them() {
    const FLOODERS: usize = 20;
    let served = Arc::new(AtomicUsize::new(0));
    let counting = |at_polite: Option<Arc<AtomicUsize>>| {
        let served = served.clone();
        service_fn(move |lines: Lines| {
            match &at_polite {
                Some(seen) => seen.store(served.load(Relaxed), Relaxed),
                None => drop(served.fetch_add(1, Relaxed)),
            }
            std::future::ready(Ok::<_, Infallible>(lines))
        })
    };
    let connect = |service| {
        let (client, server) = duplex(4 * BLOCK_BYTES);
        let codec = LinesBatchCodec::new(LIMIT);
        tokio::spawn(serve_connection(server, codec, service, drain::Watch::never()));
        client
    };
    tokio::spawn(run_yield_queue());
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let mut polite = connect(counting(Some(seen.clone())));
    let mut flooders: Vec<_> = (0..FLOODERS).map(|_| connect(counting(None))).collect();
    let block = "abc\n".repeat(BLOCK_BYTES / 4);
    for _ in 0..2 {
        served.store(0, Relaxed);
        // The pipes have room, so no other task runs until the well-behaved client waits for its reply.
        for flooder in &mut flooders {
            flooder.write_all(block.as_bytes()).await.unwrap();
        }
        polite.write_all(b"a line\n").await.unwrap();
        polite.read_exact(&mut [0; 7]).await.unwrap();
        // Until all are served and parked again.
        for _ in 0..10 * FLOODERS {
            tokio::task::yield_now().await;
        }
        assert_eq!(served.load(Relaxed), FLOODERS);
    }
    // In the first round the connections are not yet known to flood.
    assert_eq!(seen.load(Relaxed), 0, "blocks served before the line");
}

/// Connections that were blocked in writing lost the hint that they flood, and each was served a block
/// before a connection with one line.
#[tokio::test(start_paused = true)]
async fn fault_22_a_flooder_that_was_blocked_waits_in_the_yield_queue_before_it_goes_on() {
    let io = FaultyIo::new("abc\n".repeat(BLOCK_BYTES / 4)).end(End::Silence);
    let io = io.writes([Step::Take(1), Step::Pending]);
    let record = io.record();
    let serve = Serve::new(Echo).output_bytes_max(1);
    let mut connection = task::spawn(serve.clone().call(transport(io)));
    assert_pending!(connection.poll());
    let blocked = record.get().writes.len();
    assert_pending!(connection.poll());
    assert_eq!(record.get().writes.len(), blocked, "the others were not let on first");
    tokio::task::yield_now().await;
    assert!(connection.is_woken(), "it was its turn");
    assert_pending!(connection.poll());
    assert_eq!(record.get().writes.iter().sum::<usize>(), BLOCK_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_late_gets_everything() {
    let (mut client, server) = duplex(100);
    let codec = LinesBatchCodec::new(LIMIT);
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

/// Under `Every` a reply that is not UTF-8 was booked as the peer's fault, `invalid_utf8`, and the
/// connection cut without its goodbye; under `Auto` it was the service's.
#[test]
fn a_reply_the_codec_cannot_send_is_the_services_fault_under_every_policy() {
    for policy in [WritePolicy::Auto, every(1)] {
        let noise = service_fn(|_: Lines| async {
            Ok::<_, Infallible>(Lines::new(&b"\xff\n"[..]).unwrap())
        });
        let (reason, output) = served(FaultyIo::new("a\n"), Utf8LinesCodec::new(9), noise, policy);
        assert_eq!((reason, &output[..]), (CloseReason::ServiceError, &b""[..]), "{policy:?}");
    }
}

/// The type of a served connection can be written down.
#[test]
fn an_exchange_is_send() {
    fn assert_send<T: Send>() {}
    assert_send::<Connection<FramedTransport<DuplexStream, LinesBatchCodec>, Echo>>();
}
