//! Which connection of a thread runs next: full reads, floods, and many closes at once.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::sleep,
};
use tokio_test::{assert_pending, task};
use tower::service_fn;
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramedTransport, Lines, LinesBatchCodec, drain,
    internal::{BLOCK_BYTES, run_close_pacer, run_yield_queue},
    serve::Serve,
    serve_connection,
    stats::{Clock, CloseReason, Stats},
};
use towline_test_support::{DEADLINES, End, FaultyIo, Step, SupervisedClient, every, secs};

const LINE_BYTES_MAX: usize = 64 * 1024;

fn transport(io: FaultyIo) -> FramedTransport<FaultyIo, LinesBatchCodec> {
    FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX))
}

/// How often another task runs while a connection is served to its end.
async fn turns_of_another_task(
    connection: impl Future<Output = Result<CloseReason, BoxError>> + Send + 'static,
) -> usize {
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(tokio::spawn(connection).await.unwrap().unwrap(), CloseReason::PeerEof);
    other.abort();
    turns.load(Relaxed)
}

#[tokio::test(start_paused = true)]
async fn fault_21_other_tasks_run_between_full_reads() {
    const BLOCKS: usize = 32;
    let io = FaultyIo::new("abc\n".repeat(BLOCKS * BLOCK_BYTES / 4));
    let turns = turns_of_another_task(Serve::unboxed(Echo).call(transport(io))).await;
    assert!(turns >= BLOCKS - 1, "{turns} turns while {BLOCKS} blocks were read");
}

/// A line longer than a block was read to its end in one poll, over a stream without tokio's budget, and 8 MiB
/// at a time over a socket: the other connections of the thread waited that long for theirs.
#[tokio::test(start_paused = true)]
async fn fault_21_other_tasks_run_between_full_reads_of_one_line() {
    const BLOCKS: usize = 32;
    let line = format!("{}\n", "x".repeat(BLOCKS * BLOCK_BYTES));
    let codec = LinesBatchCodec::new(2 * BLOCKS * BLOCK_BYTES);
    let whole = FramedTransport::new(FaultyIo::new(line.clone()), codec.clone());
    let turns = turns_of_another_task(Serve::unboxed(Echo).call(whole)).await;
    assert!(turns >= BLOCKS - 1, "{turns} turns while {BLOCKS} blocks were read");

    // Small reads cost as much as large ones.
    let reads = (0..4096).map(|_| Step::Take(1));
    let io = FaultyIo::new(line).reads(reads);
    let turns = turns_of_another_task(Serve::unboxed(Echo).call(FramedTransport::new(io, codec)));
    let turns = turns.await;
    assert!(turns >= 4096 / 16, "{turns} turns in 4,096 reads of a byte");
}

/// A connection whose turn ended within an unfinished line did not know that it waited in the yield queue:
/// when something else woke it, such as a deadline, it read on before its turn and entered the queue
/// again, which then was longer than its thread had connections.
#[tokio::test(start_paused = true)]
async fn fault_21_a_connection_within_a_long_line_waits_for_its_turn_and_waits_once() {
    const BLOCKS: usize = 8;
    const OTHERS: usize = 7;
    tokio::spawn(run_yield_queue());
    tokio::task::yield_now().await;
    let connect = || {
        let io = FaultyIo::new("x".repeat(BLOCKS * BLOCK_BYTES)).end(End::Silence);
        let record = io.record();
        let codec = LinesBatchCodec::new(2 * BLOCKS * BLOCK_BYTES);
        let serve = Serve::unboxed(Echo);
        (task::spawn(serve.clone().call(FramedTransport::new(io, codec))), record)
    };
    let (mut connection, record) = connect();
    assert_pending!(connection.poll());
    let read = record.get().consumed;
    assert!((BLOCK_BYTES..2 * BLOCK_BYTES).contains(&read), "{read} bytes in a turn");
    for _ in 0..OTHERS {
        assert_pending!(connection.poll());
    }
    assert_eq!(record.get().consumed, read, "it read on before its turn");

    let mut others: Vec<_> = (0..OTHERS).map(|_| connect().0).collect();
    for other in &mut others {
        assert_pending!(other.poll());
    }
    // One of a queue this short is woken at a time: the first place is the connection's, the next is not.
    for woken in [true, false] {
        for _ in 0..10 {
            if connection.is_woken() || others.iter().any(task::Spawn::is_woken) {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.is_woken(), woken);
        assert_eq!(others.iter().any(task::Spawn::is_woken), !woken);
        if woken {
            assert_pending!(connection.poll());
            assert!(record.get().consumed > read, "nothing was read in its turn");
        }
    }
}

/// To a socket that takes everything the replies of a batch were written one by one without a pause:
/// with `flush.policy = "line"` for some 30 ms per block. With 64 writes in a turn, a turn took several times
/// as long as that of a full block, and beside a hundred floods the median line waited for 1 ms.
#[tokio::test(start_paused = true)]
async fn fault_21_other_tasks_run_while_a_batch_is_written_line_by_line() {
    const LINES: usize = 10_000;
    let io = FaultyIo::new("a\n".repeat(LINES));
    let record = io.record();
    let turns =
        turns_of_another_task(Serve::unboxed(Echo).write_policy(every(1)).call(transport(io)))
            .await;
    assert_eq!(record.get().writes, vec![2; LINES]);
    assert!(turns >= LINES / 20, "{turns} turns while {LINES} lines were written");
}

/// Only connections that had just filled a block entered the yield queue. Flooding clients that also
/// waited for their replies were parked; one poll of the driver woke hundreds of them, and each was
/// served a block before a connection with one line: a thousand of them delayed the others by 17 ms.
#[tokio::test]
async fn fault_22_a_line_is_served_before_floods_that_woke_earlier() {
    const FLOODERS: usize = 20;
    let served = Arc::new(AtomicUsize::new(0));
    let counting = |seen_by: Option<Arc<AtomicUsize>>| {
        let served = served.clone();
        service_fn(move |lines: Lines| {
            match &seen_by {
                Some(seen) => seen.store(served.load(Relaxed), Relaxed),
                None => drop(served.fetch_add(1, Relaxed)),
            }
            std::future::ready(Ok::<_, Infallible>(lines))
        })
    };
    let connect = |service| {
        let (client, server) = duplex(4 * BLOCK_BYTES);
        let codec = LinesBatchCodec::new(LINE_BYTES_MAX);
        tokio::spawn(serve_connection(server, codec, service, drain::Watch::never()));
        client
    };
    tokio::spawn(run_yield_queue());
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let mut well_behaved = connect(counting(Some(seen.clone())));
    let mut flooders: Vec<_> = (0..FLOODERS).map(|_| connect(counting(None))).collect();
    let block = "abc\n".repeat(BLOCK_BYTES / 4);
    for _ in 0..2 {
        served.store(0, Relaxed);
        // The pipes have room, so no connection runs before the well-behaved client waits for its reply.
        for flooder in &mut flooders {
            flooder.write_all(block.as_bytes()).await.unwrap();
        }
        well_behaved.write_all(b"a line\n").await.unwrap();
        well_behaved.read_exact(&mut [0; 7]).await.unwrap();
        // Until all connections are served and parked again.
        for _ in 0..10 * FLOODERS {
            tokio::task::yield_now().await;
        }
        assert_eq!(served.load(Relaxed), FLOODERS);
    }
    // In the first round the flooders are not known yet.
    assert_eq!(seen.load(Relaxed), 0, "blocks served before the line");
}

/// A connection that was blocked in writing lost its mark as a flood meanwhile, and was served a block
/// before a connection with one line.
#[tokio::test(start_paused = true)]
async fn fault_22_a_flood_that_was_blocked_in_writing_yields_before_it_goes_on() {
    let io = FaultyIo::new("abc\n".repeat(BLOCK_BYTES / 4)).end(End::Silence);
    let io = io.writes([Step::Take(1), Step::Pending]);
    let record = io.record();
    let serve = Serve::new(Echo).output_bytes_max(1);
    let mut connection = task::spawn(serve.clone().call(transport(io)));
    assert_pending!(connection.poll());
    let blocked = record.get().writes.len();
    assert_pending!(connection.poll());
    assert_eq!(record.get().writes.len(), blocked, "it did not yield first");
    tokio::task::yield_now().await;
    assert!(connection.is_woken());
    assert_pending!(connection.poll());
    assert_eq!(record.get().writes.iter().sum::<usize>(), BLOCK_BYTES);
}

/// A thousand flooding clients whose deadlines passed together were closed in a row, which took as long
/// as serving many lines, and flooded again at once; other connections waited for all of them.
#[tokio::test(start_paused = true)]
async fn fault_06_connections_whose_deadlines_pass_together_are_closed_one_after_another() {
    tokio::spawn(run_close_pacer());
    let no_ping = DEADLINES.heartbeat(None, DEADLINES.heartbeat_timeout);
    let mut clients: Vec<_> = (0..100).map(|_| SupervisedClient::new(no_ping)).collect();
    for client in &mut clients {
        client.send("x").await;
    }
    // Until each connection has read its byte and parked.
    sleep(secs(1)).await;
    tokio::time::advance(secs(60)).await;
    let closed = || clients.iter().filter(|client| client.end.is_finished()).count();
    let mut before = closed();
    for _ in 0..2 * clients.len() {
        sleep(Duration::from_millis(1)).await;
        let now = closed();
        assert!(now - before <= 2, "{} closed in a millisecond", now - before);
        before = now;
    }
    assert_eq!(before, clients.len());
}

/// A clock that a service moves: what its work costs.
static WORK_CLOCK: AtomicU64 = AtomicU64::new(0);

/// A block of empty lines was served in one turn: sixteen batches of digests, some 5 ms, after which
/// other clients had waited for a hundred such turns. What was counted was the block, not the work.
#[tokio::test(start_paused = true)]
async fn fault_22_a_turn_ends_when_its_work_is_done_however_much_was_read() {
    const BATCHES: usize = 64;
    const BATCH_NANOS: u64 = 150_000;
    let clock = Clock::read_by(tokio::time::Instant::now(), || WORK_CLOCK.load(Relaxed));
    let stats = Arc::new(Stats::new(clock));
    let service = service_fn(|lines: Lines| {
        WORK_CLOCK.fetch_add(BATCH_NANOS, Relaxed);
        std::future::ready(Ok::<_, Infallible>(lines))
    });
    let lines = BLOCK_BYTES / BATCHES;
    let io = FaultyIo::new("\n".repeat(BLOCK_BYTES));
    let codec = LinesBatchCodec::new(LINE_BYTES_MAX).lines_max(lines as u32);
    let serve = Serve::new(service).stats(stats).call(FramedTransport::new(io, codec));
    let turns = turns_of_another_task(serve).await;
    assert!(turns >= BATCHES / 3, "{turns} turns of another task beside {BATCHES} long batches");
}

/// Small batches, and a service whose work is not in proportion to their bytes.
#[tokio::test(start_paused = true)]
async fn fault_22_a_turn_of_many_small_batches_ends_too() {
    const BATCHES: usize = 64;
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    let clock = Clock::read_by(tokio::time::Instant::now(), || CLOCK.load(Relaxed));
    let service = service_fn(|lines: Lines| {
        CLOCK.fetch_add(1_000_000, Relaxed);
        std::future::ready(Ok::<_, Infallible>(lines))
    });
    let io = FaultyIo::new("a\n".repeat(BATCHES));
    let codec = LinesBatchCodec::new(LINE_BYTES_MAX).lines_max(1);
    let stats = Arc::new(Stats::new(clock));
    let serve = Serve::new(service).stats(stats).call(FramedTransport::new(io, codec));
    let turns = turns_of_another_task(serve).await;
    assert!(turns >= BATCHES - 8, "{turns} turns of another task beside {BATCHES} long batches");
}

/// A connection in the yield queue whose socket became writable was woken: it read a further block before
/// its turn and queued once more. A hundred that read slowly had three hundred entries.
#[tokio::test(start_paused = true)]
async fn fault_22_a_connection_that_is_woken_in_the_queue_writes_and_keeps_its_place() {
    tokio::spawn(run_yield_queue());
    tokio::task::yield_now().await;
    // Two blocks; the socket takes a part of the replies to the first.
    let io = FaultyIo::new("abc\n".repeat(BLOCK_BYTES / 2)).end(End::Silence);
    let io = io.writes([Step::Take(1000), Step::Pending, Step::Take(1000), Step::Pending]);
    let record = io.record();
    let serve = Serve::new(Echo).output_bytes_max(usize::MAX);
    let mut connection = task::spawn(serve.clone().call(transport(io.then_stuck())));
    assert_pending!(connection.poll());
    assert_eq!(record.get().consumed, BLOCK_BYTES, "it yields behind its first block");
    // Woken by something else, again and again, before its turn.
    for _ in 0..5 {
        assert_pending!(connection.poll());
    }
    let record = record.get();
    assert_eq!(record.consumed, BLOCK_BYTES, "it read on before its turn");
    assert_eq!(record.writes.iter().sum::<usize>(), 2000, "it wrote what the socket took");
}

/// While only floods run, a connection reads several blocks in its turn; beside a connection that does
/// not flood it reads one.
#[tokio::test(start_paused = true)]
async fn fault_22_a_flood_reads_on_while_only_floods_run() {
    const BLOCKS: usize = 24;
    static CLOCK: AtomicU64 = AtomicU64::new(1_000_000_000);
    let clock = Clock::read_by(tokio::time::Instant::now(), || CLOCK.load(Relaxed));
    let flood = |stats: &Arc<Stats>| {
        let io = FaultyIo::new("abc\n".repeat(BLOCKS * BLOCK_BYTES / 4));
        Serve::unboxed(Echo).stats(stats.clone()).call(transport(io))
    };
    tokio::spawn(run_yield_queue());
    tokio::task::yield_now().await;
    let stats = Arc::new(Stats::new(clock));
    CLOCK.fetch_add(1_000_000_000, Relaxed);
    let alone = turns_of_another_task(flood(&stats)).await;
    assert!(alone < 2 * BLOCKS, "{alone} turns of another task: the flood yielded at each block");

    let (mut client, server) = duplex(64);
    let polite = Serve::unboxed(Echo)
        .stats(stats.clone())
        .call(FramedTransport::new(server, LinesBatchCodec::new(LINE_BYTES_MAX)));
    tokio::spawn(polite);
    tokio::task::yield_now().await;
    client.write_all(b"a\n").await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();
    let beside = turns_of_another_task(flood(&stats)).await;
    assert!(beside >= BLOCKS - 1, "{beside} turns of another task while {BLOCKS} blocks were read");
    assert!(alone < beside / 2, "{alone} turns alone, {beside} beside a connection with a line");
}
