//! The list of open connections, and closing one of them.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinHandle,
    time::{Instant, advance, sleep, timeout},
};
use tower::service_fn;
use tower_service::Service as _;
use towline_middleware::{
    BoxError, Echo, FramedTransport, Lines, LinesBatchCodec,
    connections::{ConnectionRow, PeerAddress},
    drain::{self, Signal, Watch},
    serve::Serve,
    stats::{CloseReason, State, Stats},
};

type Served = JoinHandle<Result<CloseReason, BoxError>>;

struct Shard {
    signal: Signal,
    watch: Watch,
    stats: Arc<Stats>,
}

impl Shard {
    fn new() -> Self {
        let (signal, watch) = drain::channel();
        tokio::spawn(towline_middleware::internal::run_close_pacer());
        Self { signal, watch, stats: Arc::new(Stats::new(Instant::now())) }
    }

    /// Serves a connection from `peer` whose pipe holds 64 bytes each way.
    fn serve<S>(&self, serve: Serve<S>, peer: &str) -> (DuplexStream, Served)
    where
        S: towline_middleware::serve::Respond<towline_middleware::protocol::Lf>
            + Clone
            + Send
            + 'static,
        S::Call: Send,
        S::Reply: Send,
    {
        let (client, server) = duplex(64);
        let transport = FramedTransport::new(server, LinesBatchCodec::new(1024));
        let serve = serve.stats(self.stats.clone()).drain(self.watch.clone());
        let served = { serve }.call(transport);
        served.set_peer(peer.parse().ok().into());
        (client, tokio::spawn(served))
    }

    fn echo(&self, peer: &str) -> (DuplexStream, Served) {
        self.serve(Serve::new(Echo), peer)
    }

    fn rows(&self) -> Vec<ConnectionRow> {
        let mut rows: Vec<_> = self.signal.connections(self.stats.now()).collect();
        rows.sort_by_key(|row| row.id.serial);
        rows
    }
}

async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_a_row_that_says_what_it_did_and_does() {
    let shard = Shard::new();
    let (mut first, _served) = shard.echo("192.0.2.1:1001");
    advance(Duration::from_secs(5)).await;
    let (mut second, _second) = shard.echo("[2001:db8::1]:1002");
    let (_third, _unix) = shard.echo("unix");
    first.write_all(b"a\nb\nc\n").await.unwrap();
    second.write_all(b"half").await.unwrap();
    settle().await;
    advance(Duration::from_secs(2)).await;

    let rows = shard.rows();
    let peers: Vec<_> = rows.iter().map(|row| row.peer.to_string()).collect();
    assert_eq!(peers, ["192.0.2.1:1001", "[2001:db8::1]:1002", "unix"]);
    assert_eq!(rows[2].peer, PeerAddress::Unix);
    let of = |row: &ConnectionRow| {
        let ago = |at: towline_middleware::stats::Nanos| {
            Duration::from_nanos(shard.stats.now().0 - at.0).as_secs()
        };
        (row.state, ago(row.since), ago(row.opened), row.lines)
    };
    assert_eq!(of(&rows[0]), (State::Idle, 2, 7, 3));
    assert_eq!(of(&rows[1]), (State::ReadWait, 2, 2, 0));
    assert_eq!(rows[1].buffered_bytes, 4);

    // A connection that is gone has no row, and its successor has another number.
    let gone = rows[0].id;
    drop(first);
    settle().await;
    let (_fourth, _served) = shard.echo("192.0.2.1:1001");
    let rows = shard.rows();
    assert_eq!(rows.iter().map(|row| row.id.serial).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(rows[2].id.slot, gone.slot, "the row is used again");
    assert_eq!(rows[2].lines, 0);
    assert!(rows.iter().all(|row| row.id != gone));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_has_been_waited_for_since_its_pipe_was_full() {
    let shard = Shard::new();
    let (mut client, _served) = shard.echo("192.0.2.1:1");
    let _ = timeout(Duration::from_secs(1), client.write_all(&[b'\n'; 512])).await;
    advance(Duration::from_secs(30)).await;
    // A wake-up that brings nothing does not make the wait a new one.
    let _ = shard.signal.wake_from(0);
    settle().await;
    advance(Duration::from_secs(30)).await;
    let row = &shard.rows()[0];
    assert_eq!(row.state, State::WriteWait);
    assert!((60..=62).contains(&row.write_wait.as_secs()), "{row:?}");
    assert!(row.buffered_bytes > 0 && row.buffered_bytes_max >= row.buffered_bytes, "{row:?}");

    let mut taken = [0; 512];
    client.read_exact(&mut taken[..400]).await.unwrap();
    settle().await;
    advance(Duration::from_secs(30)).await;
    let row = &shard.rows()[0];
    assert!(row.write_wait.as_secs() <= 92, "{row:?}");
}

#[tokio::test(start_paused = true)]
async fn one_connection_is_closed_in_order_and_the_others_go_on() {
    let shard = Shard::new();
    let (mut first, served) = shard.echo("192.0.2.1:1");
    let (mut second, _other) = shard.echo("192.0.2.1:2");
    settle().await;
    let id = shard.rows()[0].id;
    first.write_all(b"last\n").await.unwrap();
    settle().await;
    first.write_all(b"not taken\n").await.unwrap();
    assert!(shard.signal.close(id, CloseReason::Admin));
    assert!(shard.signal.close(id, CloseReason::MaxAge), "it is open still");
    let mut replies = Vec::new();
    first.read_to_end(&mut replies).await.unwrap();
    assert_eq!(replies, b"last\n", "what was taken is answered");
    drop(first);
    assert_eq!(served.await.unwrap().unwrap(), CloseReason::Admin, "the first reason stays");
    assert!(!shard.signal.close(id, CloseReason::Admin), "it is gone");

    second.write_all(b"on\n").await.unwrap();
    second.read_exact(&mut [0; 3]).await.unwrap();
    let states = shard.stats.states.snapshot();
    assert_eq!(states.closed[CloseReason::Admin as usize], 1);
    assert_eq!(shard.rows().len(), 1);
    // And a drain still reaches all.
    shard.signal.drain();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0);
}

/// A drain waits for what a peer owes, up to its deadline. An operator who ends one connection has none.
#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_for_its_peer_or_its_service_is_closed_at_once_if_asked_so() {
    let shard = Shard::new();
    let (mut stuck, stuck_served) = shard.echo("192.0.2.1:1");
    let never = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
    let (mut asked, asked_served) = shard.serve(Serve::new(never), "192.0.2.1:2");
    let _ = timeout(Duration::from_secs(1), stuck.write_all(&[b'\n'; 512])).await;
    asked.write_all(b"a\n").await.unwrap();
    settle().await;
    let rows = shard.rows();
    assert_eq!(
        rows.iter().map(|row| row.state).collect::<Vec<_>>(),
        [State::WriteWait, State::Service]
    );
    for row in &rows {
        assert!(shard.signal.close(row.id, CloseReason::Admin));
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(shard.rows().len(), 2, "both wait on");
    assert_eq!(shard.rows()[0].closing, Some(CloseReason::Admin));
    for row in &rows {
        assert!(shard.signal.close_at_once(row.id, CloseReason::Admin));
    }
    assert_eq!(stuck_served.await.unwrap().unwrap(), CloseReason::Admin);
    assert_eq!(asked_served.await.unwrap().unwrap(), CloseReason::Admin);
    assert_eq!(shard.rows(), []);
}

#[tokio::test(start_paused = true)]
async fn numbers_begin_where_the_signal_says() {
    let shard = Shard::new();
    shard.signal.number_from(u32::MAX);
    let _first = shard.echo("192.0.2.1:1");
    let _second = shard.echo("192.0.2.1:2");
    let serials: Vec<_> = shard.rows().iter().map(|row| row.id.serial).collect();
    assert_eq!(serials, [1, u32::MAX], "0 is no connection's number");
}
