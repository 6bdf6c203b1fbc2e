use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::advance,
};
use towline_config::{ConnectionLog, Framing};
use towline_middleware::{
    Semaphore,
    connections::ConnectionRow,
    drain::{self, Signal},
    heartbeat::PingWords,
    stats::{State, Stats},
};

use super::*;
use crate::{
    accept::{Accepted, ConnectionSlots, NewConnection},
    closed::ClosedConnections,
    counts::ProcessPlace,
    live_config::LiveConfig,
    shard::{ConnectionStarter, serve_lines},
    stack::{StackParts, configured},
};

/// A step that reads a byte, which must be `!`.
#[derive(Debug)]
struct Password;

impl Step for Password {
    fn take(&self, mut socket: AnySocket, peer: Peer) -> Taking<'_> {
        Box::pin(async move {
            match socket.read_u8().await {
                Ok(b'!') => Ok((Established::Plain(socket), peer)),
                _ => {
                    let detail = "wrong password".to_owned();
                    let _ = socket.write_all(b"no").await;
                    Err(Refusal { reason: CloseReason::ProxyError, detail, socket: Some(socket) })
                }
            }
        })
    }

    fn missing(&self) -> &'static str {
        "no password"
    }
}

struct Shard {
    stats: Arc<Stats>,
    signal: Signal,
    slots: Arc<ConnectionSlots>,
    start: Box<dyn Fn(NewConnection)>,
}

impl Shard {
    fn new() -> Self {
        let config = LiveConfig::first(towline_config::Effective::default());
        let stats = Arc::new(Stats::new(tokio::time::Instant::now()));
        let (signal, watch) = drain::channel();
        let permits = Arc::new(Semaphore::new(1));
        let words = PingWords::default();
        let parts = StackParts::new(&config, 1, stats.clone(), permits, watch, &words);
        let closed = ClosedConnections::new(1, ProcessPlace::default(), ConnectionLog::Off);
        let slots = ConnectionSlots::of_serving(9, 1, None, closed);
        let seconds = Duration::from_secs;
        let steps: Vec<Arc<dyn Step>> = vec![Arc::new(Password)];
        let steps = Arc::new(Steps { steps, deadline: seconds(10), linger: seconds(2) });
        let of_parts = parts.clone();
        let make = move |_| configured(&of_parts);
        let starter = ConnectionStarter::new(parts, Framing::Batch, make, serve_lines, drop);
        let start = Box::new(move |new| starter.start(new, Some(steps.clone())));
        Self { stats, signal, slots, start }
    }

    fn connect(&self) -> UnixStream {
        let (client, server) = std::os::unix::net::UnixStream::pair().expect("descriptors");
        for end in [&client, &server] {
            end.set_nonblocking(true).expect("a socket");
        }
        let slot = self.slots.try_reserve().expect("room").assign(None, |_| true);
        let accepted = Accepted { socket: server.into(), peer: None, listener: 0 };
        (self.start)(NewConnection { accepted, slot });
        UnixStream::from_std(client).expect("a runtime")
    }

    fn open(&self, state: State) -> u64 {
        self.stats.states.snapshot().connections[state as usize]
    }

    fn row(&self) -> ConnectionRow {
        self.signal.connections(self.stats.now()).next().expect("an open connection")
    }

    /// Waits until no connection is open; returns what the ended ones ended for.
    async fn ends(&self) -> Vec<(CloseReason, u64)> {
        self.slots.all_free().await;
        let snapshot = self.stats.states.snapshot();
        assert_eq!(snapshot.connections, [0; State::ALL.len()]);
        assert_eq!(snapshot.accepted, snapshot.closed.iter().sum::<u64>());
        assert_eq!(self.signal.connections(self.stats.now()).count(), 0);
        let ended = CloseReason::ALL.into_iter().zip(snapshot.closed);
        ended.filter(|(_, count)| *count > 0).collect()
    }
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_one_connection_before_and_after_its_first_frame() {
    let shard = Shard::new();
    let mut client = shard.connect();
    settle().await;
    assert_eq!((shard.open(State::Handshake), shard.row().state), (1, State::Handshake));
    let (id, opened) = (shard.row().id, shard.row().opened);
    advance(Duration::from_secs(9)).await;
    client.write_all(b"!line\n").await.expect("an open connection");
    let mut reply = [0; 5];
    client.read_exact(&mut reply).await.expect("the reply");
    assert_eq!(&reply, b"line\n");
    settle().await;
    assert_eq!((shard.open(State::Handshake), shard.open(State::Idle)), (0, 1));
    assert_eq!((shard.row().id, shard.row().opened, shard.row().lines), (id, opened, 1));
    drop(client);
    assert_eq!(shard.ends().await, [(CloseReason::PeerEof, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed_at_the_deadline() {
    let shard = Shard::new();
    let mut client = shard.connect();
    assert_eq!(client.read(&mut [0; 9]).await.expect("an end"), 0);
    assert_eq!(shard.ends().await, [(CloseReason::HandshakeTimeout, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_reads_why_although_it_sent_more() {
    let shard = Shard::new();
    let mut client = shard.connect();
    client.write_all(&[b'x'; 9_000]).await.expect("an open connection");
    let mut said = String::new();
    client.read_to_string(&mut said).await.expect("words and an end");
    assert_eq!(said, "no");
    settle().await;
    assert_eq!(shard.open(State::Closing), 1, "it waits for the client to close");
    drop(client);
    assert_eq!(shard.ends().await, [(CloseReason::ProxyError, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_and_an_operator_end_it_at_once() {
    let shard = Shard::new();
    let _client = shard.connect();
    settle().await;
    assert!(shard.signal.close(shard.row().id, CloseReason::Admin));
    assert_eq!(shard.ends().await, [(CloseReason::Admin, 1)]);
    let _other = shard.connect();
    settle().await;
    shard.signal.drain();
    assert_eq!(shard.ends().await, [(CloseReason::Drain, 1), (CloseReason::Admin, 1)]);
}
