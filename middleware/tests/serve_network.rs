//! A connection over a simulated network: late segments and partitions. The test of a real network with
//! loss and reordering is `cli/tests/server_network.rs`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};
use tower::ServiceBuilder;
use tower_service::Service;
use towline_middleware::{
    Echo, FramingLayer, LinesBatchCodec, MeterLayer,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::Serve,
    stats::{CloseReason, Stats},
};
use towline_test_support::{DEADLINES, secs};
use turmoil::{
    Builder, hold,
    net::{TcpListener, TcpStream},
    release,
};

const PORT: u16 = 9000;

/// A network whose segments take up to `latency`, each a time that follows from `seed`.
fn network(seed: u64, latency: Duration) -> Builder {
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .tick_duration(Duration::from_millis(10))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(latency)
        // Only a test that hangs reaches it.
        .simulation_duration(secs(3600));
    builder
}

/// Runs `client` against an echo over `network`, and returns how its connections ended.
fn served<F>(network: &Builder, limits: Deadlines, client: F) -> Vec<CloseReason>
where
    F: Future<Output = turmoil::Result> + 'static,
{
    let ends = Arc::new(Mutex::new(Vec::new()));
    let mut sim = network.build();
    let record = ends.clone();
    sim.host("server", move || {
        let record = record.clone();
        async move {
            let stats = Arc::new(Stats::new(Instant::now()));
            let mut stack = ServiceBuilder::new()
                .layer(MeterLayer::new(stats.clone()))
                .layer(FramingLayer::new(LinesBatchCodec::new, 1000))
                .layer(HeartbeatLayer::new(limits, stats.clone()))
                .service(Serve::new(Echo).stats(stats.clone()));
            let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
            loop {
                let connection = stack.call(listener.accept().await?.0);
                let record = record.clone();
                tokio::spawn(async move {
                    let reason = connection.await.unwrap();
                    record.lock().unwrap().push(reason);
                });
            }
        }
    });
    sim.client("client", client);
    sim.run().unwrap();
    // The last of them may end after the client.
    for _ in 0..100 {
        sim.step().unwrap();
    }
    std::mem::take(&mut *ends.lock().unwrap())
}

async fn connect() -> TcpStream {
    TcpStream::connect(("server", PORT)).await.unwrap()
}

async fn expect(stream: &mut (impl AsyncRead + Unpin), bytes: &str) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), bytes);
}

fn numbered(lines: usize) -> String {
    (0..lines).map(|line| format!("line {line}\n")).collect()
}

#[test]
fn fault_39_late_segments_in_any_order_change_no_byte() {
    for seed in 0..12 {
        let ends = served(&network(seed, Duration::from_millis(200)), DEADLINES, async {
            let (mut from, mut to) = tokio::io::split(connect().await);
            let sent = numbered(2000);
            let copy = sent.clone();
            tokio::spawn(async move {
                // Pieces that end within a line.
                for piece in copy.as_bytes().chunks(97) {
                    to.write_all(piece).await.unwrap();
                }
                to.shutdown().await.unwrap();
            });
            expect(&mut from, &sent).await;
            assert_eq!(from.read(&mut [0]).await?, 0);
            Ok(())
        });
        assert_eq!(ends, [CloseReason::PeerEof], "with seed {seed}");
    }
}

#[test]
fn fault_40_a_connection_survives_a_partition_shorter_than_its_deadlines() {
    for seed in 0..6 {
        let ends = served(&network(seed, Duration::from_millis(50)), DEADLINES, async {
            let mut stream = connect().await;
            for _ in 0..3 {
                stream.write_all(b"before\n").await?;
                expect(&mut stream, "before\n").await;
                hold("client", "server");
                stream.write_all(b"meanwhile\n").await?;
                sleep(secs(9)).await;
                release("client", "server");
                expect(&mut stream, "meanwhile\n").await;
            }
            Ok(())
        });
        assert_eq!(ends, [CloseReason::PeerEof], "with seed {seed}");
    }
}

#[test]
fn fault_40_a_longer_partition_ends_a_connection_on_both_sides_and_the_next_one_is_served() {
    for seed in 0..6 {
        let ends = served(&network(seed, Duration::from_millis(50)), DEADLINES, async {
            let mut stream = connect().await;
            stream.write_all(b"before\n").await?;
            expect(&mut stream, "before\n").await;
            hold("client", "server");
            sleep(secs(60)).await;
            release("client", "server");
            // Bytes in transit arrive, and no line is cut.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty() || rest == b"ping\n", "{}", rest.escape_ascii());

            let mut again = connect().await;
            again.write_all(b"again\n").await?;
            expect(&mut again, "again\n").await;
            Ok(())
        });
        let [partitioned, again] = ends[..] else { panic!("{ends:?}") };
        assert_eq!((partitioned, again), (CloseReason::HeartbeatTimeout, CloseReason::PeerEof));
    }
}

/// Neither side gets a FIN or a reset.
#[test]
fn fault_09_a_connection_whose_cable_is_pulled_is_closed_at_the_heartbeat_deadline() {
    let ends = served(&network(1, Duration::from_millis(50)), DEADLINES, async {
        let mut stream = connect().await;
        stream.write_all(b"before\n").await?;
        expect(&mut stream, "before\n").await;
        hold("client", "server");
        // The interval, a tenth of it by which first pings are spread, the timeout, and a second.
        sleep(secs(30 + 3 + 10 + 1)).await;
        Ok(())
    });
    assert_eq!(ends, [CloseReason::HeartbeatTimeout]);
}
