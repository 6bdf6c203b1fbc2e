//! Batches that wait for a rate that connections have together.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::Instant,
};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, FramedTransport, LinesBatchCodec,
    connections::PeerAddress,
    drain::{self, Signal},
    rate::Throttle,
    serve::{ConnectionConfig, Serve},
    stats::{CloseReason, Stats},
};

const SECOND: Duration = Duration::from_secs(1);

/// Lets each frame wait for a second, and counts them.
#[derive(Debug, Default)]
struct Slow(AtomicU32);

impl Throttle for Slow {
    fn take(&self, peer: PeerAddress, frames: u32, bytes: u32) -> Duration {
        assert_eq!((peer.to_string(), bytes), ("192.0.2.1:4711".to_owned(), 2 * frames));
        self.0.fetch_add(frames, Relaxed);
        frames * SECOND
    }
}

struct Served {
    client: DuplexStream,
    slow: Arc<Slow>,
    config: Arc<ConnectionConfig>,
    signal: Signal,
    ended: JoinHandle<Result<CloseReason, BoxError>>,
}

fn serve() -> Served {
    let (client, server) = duplex(4096);
    let (slow, config) = (Arc::new(Slow::default()), Arc::new(ConnectionConfig::default()));
    config.set_throttles(true);
    config.set_half_close(Duration::from_millis(1));
    let (signal, watch) = drain::channel();
    let stats = Arc::new(Stats::new(Instant::now()));
    let serve = Serve::new(Echo).stats(stats).drain(watch).config(config.clone());
    let transport = FramedTransport::new(server, LinesBatchCodec::new(99));
    let connection = serve.throttle(slow.clone()).call(transport);
    connection.set_peer(PeerAddress::Ip(([192, 0, 2, 1], 4711).into()));
    Served { client, slow, config, signal, ended: tokio::spawn(connection) }
}

async fn said(client: &mut DuplexStream, expected: &str) {
    let mut said = vec![0; expected.len()];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(said, expected.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_as_long_as_it_is_told_and_the_next_one_behind_it() {
    let Served { mut client, slow, config, .. } = serve();
    let begun = Instant::now();
    client.write_all(b"a\nb\n").await.unwrap();
    said(&mut client, "a\nb\n").await;
    assert_eq!(begun.elapsed(), 2 * SECOND);
    client.write_all(b"c\n").await.unwrap();
    said(&mut client, "c\n").await;
    assert_eq!((begun.elapsed(), slow.0.load(Relaxed)), (3 * SECOND, 3));
    // Without it nothing is asked.
    config.set_throttles(false);
    client.write_all(b"d\n").await.unwrap();
    said(&mut client, "d\n").await;
    assert_eq!((begun.elapsed(), slow.0.load(Relaxed)), (3 * SECOND, 3));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_half_closes_meanwhile_gets_its_replies() {
    let Served { mut client, ended, .. } = serve();
    client.write_all(b"a\nb\n").await.unwrap();
    client.shutdown().await.unwrap();
    said(&mut client, "a\nb\n").await;
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_the_rate() {
    let Served { mut client, signal, ended, .. } = serve();
    let begun = Instant::now();
    client.write_all(b"a\nb\n").await.unwrap();
    tokio::time::sleep(SECOND).await;
    signal.drain();
    said(&mut client, "a\nb\n").await;
    assert_eq!(begun.elapsed(), SECOND);
    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::Drain);
}
