//! The memory that the connections of a shard hold together, and that none waits for that of another.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Arc;

use tokio::time::Instant;
use tokio_test::task::{self, Spawn};
use tower_layer::Layer as _;
use tower_service::Service;
use towline_middleware::{
    DigestMode, Echo, FramedTransport, LinesBatchCodec, Sha256Layer,
    internal::{BLOCK_BYTES, SMALL_BLOCK_BYTES},
    serve::{Connection, ConnectionConfig, Serve, WritePolicy},
    stats::{State, Stats},
};
use towline_test_support::{End, FaultyIo, SharedRecord, Step, every};

const KIB: usize = 1024;

const LINE: &str = "abc\n";

type Served = Spawn<Connection<FramedTransport<FaultyIo, LinesBatchCodec>, Echo>>;

/// Connections of one shard, which share a bound.
struct Shard {
    stats: Arc<Stats>,
    serve: Serve<Echo>,
    served: Vec<Served>,
}

impl Shard {
    fn with_bound(buffered_bytes_max: usize, flush: WritePolicy) -> Self {
        Self::counting_in(Stats::new(Instant::now()), buffered_bytes_max, flush)
    }

    fn counting_in(stats: Stats, buffered_bytes_max: usize, flush: WritePolicy) -> Self {
        let (stats, config) = (Arc::new(stats), ConnectionConfig::default());
        config.set_buffered_bytes_max(buffered_bytes_max);
        config.set_write_policy(flush);
        let serve = Serve::unboxed(Echo).stats(stats.clone()).config(Arc::new(config));
        Self { stats, serve, served: Vec::new() }
    }

    fn connect(&mut self, io: FaultyIo) -> SharedRecord {
        let record = io.record();
        let served = self.serve.call(FramedTransport::new(io, LinesBatchCodec::new(64 * KIB)));
        let mut served = task::spawn(served);
        assert!(served.poll().is_pending(), "it ended");
        self.served.push(served);
        record
    }

    /// Polls woken connections until none is woken.
    async fn settle(&mut self) {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
            let mut ran = false;
            for served in &mut self.served {
                if served.is_woken() {
                    ran = true;
                    assert!(served.poll().is_pending(), "it ended");
                }
            }
            if !ran {
                return;
            }
        }
        panic!("connections wake each other for ever");
    }

    fn buffered_bytes(&self) -> usize {
        self.stats.buffered_bytes()
    }
}

/// A client that sends without end, `at_a_time` bytes, and never reads.
fn flooder(at_a_time: usize) -> FaultyIo {
    // A pause after each piece parks the connection, as waiting for the network does.
    let reads = (0..4 * KIB).flat_map(|_| [Step::Take(at_a_time), Step::Pending]);
    FaultyIo::new(LINE.repeat(KIB * KIB / LINE.len())).end(End::Silence).reads(reads).then_stuck()
}

/// Each connection had only a bound of its own, and the sum was checked ten times per second: four hundred
/// that flooded at once held 100 MiB before the first check, and the kernel killed a server whose control
/// group had 64 MiB.
#[tokio::test(start_paused = true)]
async fn fault_17_clients_that_flood_at_once_hold_the_bound_and_a_small_read_each() {
    const CLIENTS: usize = 400;
    const BOUND: usize = 4 * KIB * KIB;
    for at_a_time in [KIB, BLOCK_BYTES] {
        for flush in [WritePolicy::Auto, every(1 << 30)] {
            let mut shard = Shard::with_bound(BOUND, flush);
            let records: Vec<_> = (0..CLIENTS).map(|_| shard.connect(flooder(at_a_time))).collect();
            shard.settle().await;
            let held = shard.buffered_bytes();
            assert!(held >= BOUND, "{held} bytes: the bound is not reached");
            // The connection that reaches the bound may have read a whole block, later ones may not.
            let each = at_a_time.min(SMALL_BLOCK_BYTES);
            let most = BOUND + at_a_time + CLIENTS * each;
            assert!(held <= most, "{held} bytes, {at_a_time} at a time");
            let consumed: usize = records.iter().map(|record| record.get().consumed).sum();
            assert_eq!(held, consumed, "bytes that were read are held as replies");
            let waiting = shard.stats.states.snapshot().connections[State::WriteWait as usize];
            assert_eq!(waiting as usize, CLIENTS);
        }
    }
}

/// A digest has 65 bytes and its line may have one: the replies to a block of empty lines were 260 KiB for
/// each connection that could read once.
#[tokio::test(start_paused = true)]
async fn fault_17_replies_longer_than_their_lines_are_bounded_too() {
    const CLIENTS: usize = 400;
    const BOUND: usize = 4 * KIB * KIB;
    let (stats, config) = (Arc::new(Stats::new(Instant::now())), ConnectionConfig::default());
    config.set_buffered_bytes_max(BOUND);
    let hashes = Sha256Layer::new(DigestMode::Reply, stats.clone()).layer(Echo);
    let mut serve = Serve::new(hashes).stats(stats.clone()).config(Arc::new(config));
    let mut served = Vec::new();
    for _ in 0..CLIENTS {
        let io = FaultyIo::new("\n".repeat(BLOCK_BYTES)).end(End::Silence).then_stuck();
        let codec = LinesBatchCodec::new(64 * KIB).lines_max(4096);
        let mut one = task::spawn(serve.call(FramedTransport::new(io, codec)));
        for _ in 0..1000 {
            assert!(one.poll().is_pending(), "it ended");
            tokio::task::yield_now().await;
            if !one.is_woken() {
                break;
            }
        }
        served.push(one);
    }
    let (held, replies) = (stats.buffered_bytes(), stats.write_buffer_bytes.get() as usize);
    assert!(replies >= BOUND / 2, "{replies} bytes: the bound is not reached");
    // Two connections may exceed the bound; the others also hold what they read and did not serve yet.
    let most = BOUND + 2 * 260 * KIB + CLIENTS * 3 * SMALL_BLOCK_BYTES;
    assert!(held <= most, "{held} bytes");
}

#[tokio::test(start_paused = true)]
async fn fault_17_connections_that_are_not_counted_are_held_to_the_bound_too() {
    let stats = Stats::uncounted(Instant::now());
    let mut shard = Shard::counting_in(stats, BLOCK_BYTES, WritePolicy::Auto);
    let records = [(); 4].map(|()| shard.connect(flooder(BLOCK_BYTES)));
    shard.settle().await;
    let consumed: usize = records.iter().map(|record| record.get().consumed).sum();
    assert_eq!(shard.buffered_bytes(), consumed);
    assert!((BLOCK_BYTES..=BLOCK_BYTES + 4 * SMALL_BLOCK_BYTES).contains(&consumed), "{consumed}");
    shard.served.clear();
    assert_eq!(shard.buffered_bytes(), 0);
}

/// A connection that can write holds nothing for long.
#[tokio::test(start_paused = true)]
async fn fault_17_a_client_that_reads_is_served_while_others_hold_the_bound() {
    let mut shard = Shard::with_bound(BLOCK_BYTES, WritePolicy::Auto);
    shard.connect(flooder(BLOCK_BYTES));
    shard.settle().await;
    assert!(shard.buffered_bytes() >= BLOCK_BYTES);
    let input = LINE.repeat(BLOCK_BYTES);
    let reads = (0..4 * KIB).flat_map(|_| [Step::Take(KIB), Step::Pending]);
    let well_behaved = shard.connect(FaultyIo::new(input.clone()).end(End::Silence).reads(reads));
    shard.settle().await;
    assert!(well_behaved.output() == input.as_bytes(), "{} bytes", well_behaved.output().len());
}

/// A connection that is held back waits for its own socket, not for others that may hold the bound for ever.
#[tokio::test(start_paused = true)]
async fn fault_17_a_connection_that_is_held_back_goes_on_once_its_own_replies_are_written() {
    for flush in [WritePolicy::Auto, every(1 << 30)] {
        let mut shard = Shard::with_bound(BLOCK_BYTES, flush);
        shard.connect(flooder(BLOCK_BYTES));
        shard.settle().await;
        let input = LINE.repeat(BLOCK_BYTES);
        // Writes block again and again, each time for two polls.
        let writes = (0..64).flat_map(|_| [Step::Take(100), Step::Pending, Step::Pending]);
        let slow = FaultyIo::new(input.clone()).end(End::Silence).writes(writes);
        let slow = shard.connect(slow);
        shard.settle().await;
        assert!(slow.output() == input.as_bytes(), "{} bytes, {flush:?}", slow.output().len());
        assert!(shard.buffered_bytes() >= BLOCK_BYTES, "the other one still holds the bound");
    }
}

/// The bytes of a closed connection do not count, and reads fill whole blocks again.
#[tokio::test(start_paused = true)]
async fn below_the_bound_a_small_unsent_rest_does_not_stop_reading() {
    let mut shard = Shard::with_bound(BLOCK_BYTES, WritePolicy::Auto);
    shard.connect(flooder(BLOCK_BYTES));
    shard.settle().await;
    let line = "a line of thirty-two bytes: 123\n";
    let input = || FaultyIo::new(line.repeat(4 * KIB)).end(End::Silence);
    let reader = shard.connect(input());
    shard.settle().await;
    assert_eq!(reader.get().writes[0], SMALL_BLOCK_BYTES);

    shard.served.clear();
    assert_eq!(shard.buffered_bytes(), 0);
    let reader = shard.connect(input());
    shard.settle().await;
    assert_eq!(reader.get().writes[0], BLOCK_BYTES);
    let flooder = shard.connect(flooder(KIB));
    shard.settle().await;
    assert_eq!(
        flooder.get().consumed,
        BLOCK_BYTES,
        "a rest of less than the bound does not stop reading"
    );
}
