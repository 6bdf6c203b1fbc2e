//! Which connections are closed when those of a shard buffer more than they may.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::{Future, pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::{JoinSet, yield_now},
    time::Instant,
};
use tower::service_fn;
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramedTransport, Lines, LinesBatchCodec,
    serve::{ConnectionConfig, Serve},
    stats::{CloseReason, Stats},
};

const KIB: usize = 1024;

/// Connections of one shard that may buffer 100 KiB together. Each ends with its number and reason.
struct Shard<S> {
    stats: Arc<Stats>,
    serve: Serve<S>,
    served: JoinSet<(usize, CloseReason)>,
}

impl<S> Shard<S>
where
    S: Service<
            Lines,
            Response = Lines,
            Error: Into<BoxError> + Send,
            Future: Unpin + Send + 'static,
        > + Clone
        + Send
        + 'static,
{
    fn new(serve: Serve<S>) -> Self {
        let (stats, config) = (Arc::new(Stats::new(Instant::now())), ConnectionConfig::default());
        config.set_eviction_bytes(100 * KIB);
        let serve = serve.stats(stats.clone()).config(Arc::new(config));
        Self { stats, serve, served: JoinSet::new() }
    }

    /// A client that has sent `bytes` to a connection of its own, which has read them.
    async fn client(&mut self, number: usize, bytes: &[u8]) -> DuplexStream {
        let (mut client, server) = duplex(KIB * KIB);
        let transport = FramedTransport::new(server, LinesBatchCodec::new(64 * KIB));
        let connection = self.serve.call(transport);
        self.served.spawn(async move { (number, connection.await.unwrap()) });
        client.write_all(bytes).await.unwrap();
        settle().await;
        client
    }

    /// The numbers of the connections that were closed as overload, in that order.
    async fn evicted(&mut self) -> Vec<usize> {
        settle().await;
        let mut evicted = Vec::new();
        while let Some(ended) = self.served.try_join_next() {
            let (number, reason) = ended.unwrap();
            assert_eq!(reason, CloseReason::Overload);
            evicted.push(number);
        }
        evicted
    }
}

/// Lets every task run until none is runnable.
async fn settle() {
    for _ in 0..64 {
        yield_now().await;
    }
}

fn unfinished(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

async fn is_served(client: &mut DuplexStream) {
    client.write_all(b"a\n").await.unwrap();
    let mut reply = [0; 2];
    client.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"a\n");
}

/// A few clients that left lines unfinished filled the memory for buffers, and came back when they were
/// cut. Everybody else's lines were answered `ERR overloaded`, and new clients were refused.
#[tokio::test(start_paused = true)]
async fn fault_17_those_that_hold_the_most_are_closed_then_the_oldest_and_the_others_served() {
    let mut shard = Shard::new(Serve::unboxed(Echo));
    let mut idle = shard.client(0, b"").await;
    let mut little = shard.client(1, &unfinished(100)).await;
    let mut holders = Vec::new();
    for (number, kib) in [(2, 20), (3, 40), (4, 17)] {
        holders.push(shard.client(number, &unfinished(kib * KIB)).await);
    }
    assert_eq!(shard.evicted().await, [], "77 KiB are held");
    assert_eq!(shard.stats.held_bytes(), 77 * KIB);
    holders.push(shard.client(5, &unfinished(33 * KIB)).await);
    // Of the two of 32 KiB or more the older.
    assert_eq!(shard.evicted().await, [3]);
    assert_eq!(shard.stats.held_bytes(), 70 * KIB);
    holders.push(shard.client(6, &unfinished(31 * KIB)).await);
    assert_eq!(shard.evicted().await, [5]);
    // One that grows and stays below 32 KiB is as old as before.
    holders[0].write_all(&unfinished(5 * KIB)).await.unwrap();
    holders.push(shard.client(7, &unfinished(30 * KIB)).await);
    assert_eq!(shard.evicted().await, [2]);
    assert_eq!(shard.stats.held_bytes(), 78 * KIB);

    is_served(&mut idle).await;
    let mut new = shard.client(8, b"").await;
    is_served(&mut new).await;
    little.write_all(b"\n").await.unwrap();
    let mut reply = [0; 101];
    little.read_exact(&mut reply).await.unwrap();
    assert_eq!(shard.evicted().await, []);
    drop(holders);
    settle().await;
    assert_eq!((shard.stats.held_bytes(), shard.stats.buffered_bytes()), (0, 0));
}

/// The clients that come back when they are cut hold no more than the limit, however often they do.
#[tokio::test(start_paused = true)]
async fn fault_17_holders_that_come_back_at_once_close_each_other() {
    let mut shard = Shard::new(Serve::unboxed(Echo));
    let mut well_behaved = shard.client(0, b"").await;
    let mut holders = Vec::new();
    for number in 1..=50 {
        holders.push(shard.client(number, &unfinished(63 * KIB)).await);
        assert_eq!(shard.evicted().await, if number == 1 { vec![] } else { vec![number - 1] });
        assert_eq!(shard.stats.buffered_bytes(), 63 * KIB);
        is_served(&mut well_behaved).await;
    }
    assert_eq!(shard.stats.evicted(), 49);
}

/// A client whose line is complete by the time its connection runs holds nothing any more.
#[tokio::test(start_paused = true)]
async fn a_holder_that_finishes_its_line_in_time_is_answered() {
    let mut shard = Shard::new(Serve::unboxed(Echo));
    let mut holder = shard.client(1, &unfinished(60 * KIB)).await;
    let (mut other, server) = duplex(KIB * KIB);
    other.write_all(&unfinished(50 * KIB)).await.unwrap();
    holder.write_all(b"\n").await.unwrap();
    let transport = FramedTransport::new(server, LinesBatchCodec::new(64 * KIB));
    let connection = shard.serve.call(transport);
    shard.served.spawn(async move { (2, connection.await.unwrap()) });
    let mut reply = vec![0; 60 * KIB + 1];
    holder.read_exact(&mut reply).await.unwrap();
    assert_eq!(shard.evicted().await, []);
    is_served(&mut holder).await;
}

/// Connections that were woken to close kept their memory until they ran, behind all that were runnable by then,
/// and each of those added to it: a thousand sessions with long replies held 41 MB of 32 MiB.
#[tokio::test(start_paused = true)]
async fn fault_17_connections_that_run_before_those_that_must_close_do_not_add_to_what_is_short() {
    let mut shard = Shard::new(Serve::unboxed(Echo));
    let most = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for number in 0..40 {
        let (mut client, server) = duplex(KIB * KIB);
        client.write_all(&unfinished(20 * KIB)).await.unwrap();
        let transport = FramedTransport::new(server, LinesBatchCodec::new(64 * KIB));
        let mut connection = Box::pin(shard.serve.call(transport));
        let (most, stats) = (most.clone(), shard.stats.clone());
        shard.served.spawn(async move {
            let measured = poll_fn(|cx| {
                let ended = connection.as_mut().poll(cx);
                most.fetch_max(stats.buffered_bytes(), Relaxed);
                ended
            });
            (number, measured.await.unwrap())
        });
        clients.push(client);
    }
    let evicted = shard.evicted().await;
    assert!(evicted.len() < 40 && shard.stats.buffered_bytes() <= 100 * KIB);
    let most = most.load(Relaxed);
    assert!(most <= 120 * KIB, "{most} bytes");
}

/// What is in service is the server's to finish. It counts, and clients that hold make room for it.
#[tokio::test(start_paused = true)]
async fn a_connection_with_its_batch_in_service_is_not_closed_and_holders_make_room_for_it() {
    let never = service_fn(|_: Lines| Box::pin(pending::<Result<Lines, BoxError>>()));
    let mut shard = Shard::new(Serve::unboxed(never));
    let line = [unfinished(60 * KIB), b"\n".to_vec()].concat();
    let _holder = shard.client(1, &unfinished(50 * KIB)).await;
    let _first = shard.client(2, &line).await;
    assert_eq!(shard.evicted().await, [1]);
    let _second = shard.client(3, &line).await;
    assert_eq!(shard.evicted().await, []);
    assert!(shard.stats.buffered_bytes() > 120 * KIB);
}

/// The overload control closes holders of a shard whose connections do not run.
#[tokio::test(start_paused = true)]
async fn holders_are_closed_from_outside_too() {
    let mut shard = Shard::new(Serve::unboxed(Echo));
    let _one = shard.client(1, &unfinished(30 * KIB)).await;
    let _two = shard.client(2, &unfinished(60 * KIB)).await;
    shard.stats.evict_above(usize::MAX);
    assert_eq!(shard.evicted().await, []);
    shard.stats.evict_above(0);
    assert_eq!(shard.evicted().await.len(), 2);
    assert_eq!(shard.stats.buffered_bytes(), 0);
}
