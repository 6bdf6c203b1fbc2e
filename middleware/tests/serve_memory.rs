//! Memory that many connections hold together, and that none waits for what another one holds.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::sync::Arc;

use support::{End, FaultyIo, Step, Watched, every};
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

const KIB: usize = 1024;

const LINE: &str = "abc\n";

type Served = Spawn<Connection<FramedTransport<FaultyIo, LinesBatchCodec>, Echo>>;

/// Connections of one shard, that share a bound.
struct Shard {
    stats: Arc<Stats>,
    serve: Serve<Echo>,
    served: Vec<Served>,
}

impl Shard {
    fn with_bound(buffered_bytes_max: usize, flush: WritePolicy) -> Self {
        let (stats, rules) = (Arc::new(Stats::new(Instant::now())), ConnectionConfig::default());
        rules.set_buffered_bytes_max(buffered_bytes_max);
        rules.set_write_policy(flush);
        let serve = Serve::unboxed(Echo).stats(stats.clone()).config(Arc::new(rules));
        Self { stats, serve, served: Vec::new() }
    }

    fn connect(&mut self, io: FaultyIo) -> Watched {
        let record = io.record();
        let served = self.serve.call(FramedTransport::new(io, LinesBatchCodec::new(64 * KIB)));
        let mut served = task::spawn(served);
        assert!(served.poll().is_pending(), "it ended");
        self.served.push(served);
        record
    }

    /// Has each that is woken run, until none is.
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
        panic!("they never come to rest");
    }

    fn buffered_bytes(&self) -> usize {
        self.stats.buffered_bytes()
    }
}

/// Sends without end and never reads, so many bytes at a time.
fn flooder(at_a_time: usize) -> FaultyIo {
    // A pause behind each piece parks the connection, as waiting for the network does.
    let reads = (0..4 * KIB).flat_map(|_| [Step::Take(at_a_time), Step::Pending]);
    FaultyIo::new(LINE.repeat(KIB * KIB / LINE.len())).end(End::Silence).reads(reads).then_stuck()
}

/// Each connection had a bound of its own, and their sum was checked only now and then: four hundred
/// that flooded at once held a hundred MiB before the next check, and the kernel killed a server whose
/// control group had 64.
#[tokio::test(start_paused = true)]
async fn fault_17_peers_that_flood_at_once_hold_the_bound_and_a_small_read_each() {
    const PEERS: usize = 400;
    const BOUND: usize = 4 * KIB * KIB;
    for at_a_time in [KIB, BLOCK_BYTES] {
        for flush in [WritePolicy::Auto, every(1 << 30)] {
            let mut shard = Shard::with_bound(BOUND, flush);
            let records: Vec<_> = (0..PEERS).map(|_| shard.connect(flooder(at_a_time))).collect();
            shard.settle().await;
            let held = shard.buffered_bytes();
            assert!(held >= BOUND, "{held} bytes: it is reached only by flooding");
            // The one that reaches the bound may have read a whole block, those behind it none.
            let each = at_a_time.min(SMALL_BLOCK_BYTES);
            let most = BOUND + at_a_time + PEERS * each;
            assert!(held <= most, "{held} bytes, {at_a_time} at a time");
            let consumed: usize = records.iter().map(|record| record.get().consumed).sum();
            assert_eq!(held, consumed, "what was read waits as a reply");
            let waiting = shard.stats.states.snapshot().connections[State::WriteWait as usize];
            assert_eq!(waiting as usize, PEERS);
        }
    }
}

/// A digest is 65 bytes and its line may be one: what a block of empty lines is answered was 260 KiB,
/// for each connection that could read once.
#[tokio::test(start_paused = true)]
async fn fault_17_replies_longer_than_their_lines_are_bounded_too() {
    const PEERS: usize = 400;
    const BOUND: usize = 4 * KIB * KIB;
    let (stats, rules) = (Arc::new(Stats::new(Instant::now())), ConnectionConfig::default());
    rules.set_buffered_bytes_max(BOUND);
    let hashes = Sha256Layer::new(DigestMode::Reply, stats.clone()).layer(Echo);
    let mut serve = Serve::new(hashes).stats(stats.clone()).config(Arc::new(rules));
    let mut served = Vec::new();
    for _ in 0..PEERS {
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
    assert!(replies >= BOUND / 2, "{replies} bytes: it is reached only by flooding");
    // The last that read before the bound, and of the others what was read and not yet served, too.
    let most = BOUND + 2 * 260 * KIB + PEERS * 3 * SMALL_BLOCK_BYTES;
    assert!(held <= most, "{held} bytes");
}

/// A connection that can write its replies holds none, and is served as before.
#[tokio::test(start_paused = true)]
async fn fault_17_a_peer_that_takes_its_replies_is_served_while_others_hold_all_there_is() {
    let mut shard = Shard::with_bound(BLOCK_BYTES, WritePolicy::Auto);
    shard.connect(flooder(BLOCK_BYTES));
    shard.settle().await;
    assert!(shard.buffered_bytes() >= BLOCK_BYTES);
    let input = LINE.repeat(BLOCK_BYTES);
    let reads = (0..4 * KIB).flat_map(|_| [Step::Take(KIB), Step::Pending]);
    let polite = shard.connect(FaultyIo::new(input.clone()).end(End::Silence).reads(reads));
    shard.settle().await;
    assert!(polite.output() == input.as_bytes(), "{} bytes", polite.output().len());
}

/// A connection that was held back waits for its own socket only, not for one that may never drain.
#[tokio::test(start_paused = true)]
async fn fault_17_a_peer_that_was_held_back_goes_on_once_its_own_replies_are_written() {
    for flush in [WritePolicy::Auto, every(1 << 30)] {
        let mut shard = Shard::with_bound(BLOCK_BYTES, flush);
        shard.connect(flooder(BLOCK_BYTES));
        shard.settle().await;
        let input = LINE.repeat(BLOCK_BYTES);
        // Writes come to a halt again and again, each time for one wake-up.
        let writes = (0..64).flat_map(|_| [Step::Take(100), Step::Pending, Step::Pending]);
        let slow = FaultyIo::new(input.clone()).end(End::Silence).writes(writes);
        let slow = shard.connect(slow);
        shard.settle().await;
        assert!(slow.output() == input.as_bytes(), "{} bytes, {flush:?}", slow.output().len());
        assert!(shard.buffered_bytes() >= BLOCK_BYTES, "the other still holds all there is");
    }
}

/// What a connection held that is gone counts no more, and blocks are whole again.
#[tokio::test(start_paused = true)]
async fn below_the_bound_reading_goes_on_over_a_small_rest() {
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
    assert_eq!(flooder.get().consumed, BLOCK_BYTES, "a rest of less than the bound is read over");
}
