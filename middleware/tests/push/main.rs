//! What is pushed to connections that take it in pieces of any size.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod shared_stream;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinSet,
};
use tower_service::Service;
use towline_middleware::{
    BatchCodec, ConcurrencyLimitLayer, Echo, FramedTransport, Semaphore, TimeoutLayer,
    protocol::Lf,
    push::{Conn, Group, PushShard, SlowConsumer},
    serve::Serve,
    session::{ActionOf, Cx, FrameOf, Session, SessionResponder, SessionStack},
    stats::Stats,
};

use self::shared_stream::{SharedStream, write_now};

/// Answers each frame with itself in angle brackets.
struct Brackets;

impl Session for Brackets {
    type Protocol = Lf;

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        cx.reply(format_args!("<{}>", String::from_utf8_lossy(frame)))
    }
}

/// A shard without a thread of its own.
struct Shard {
    pushes: PushShard,
    stack: SessionStack,
    stats: Arc<Stats>,
    tasks: JoinSet<()>,
}

impl Shard {
    fn new() -> Self {
        let stats = Arc::new(Stats::new(tokio::time::Instant::now()));
        let pushes = PushShard::new(stats.clone());
        pushes.export();
        let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1)));
        let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
        let mut tasks = JoinSet::new();
        tasks.spawn(pushes.clone().run());
        Self { stack: stack.pushes(pushes.clone()), pushes, stats, tasks }
    }

    /// A connection whose stream has room for `bytes`.
    fn connect(&mut self, bytes: usize) -> (DuplexStream, Conn<Lf>) {
        let (client, server) = tokio::io::duplex(bytes);
        let (server, id) = SharedStream::new(server);
        let conn = self.stack.conn(None);
        let responder = SessionResponder::new(Brackets, conn.clone(), self.stack.clone());
        let mut serve = Serve::unboxed(Echo).stats(self.stats.clone()).one(responder);
        let transport = FramedTransport::new(server, BatchCodec::<Lf>::new(1024));
        let served = serve.call(transport);
        served.set_stream_id(id);
        self.tasks.spawn(async move {
            let _ = served.await;
        });
        (client, conn)
    }
}

/// What happens to one connection, and its group.
#[derive(Debug, Clone)]
enum Event {
    /// The group is sent a message with this many bytes of filling.
    Group(usize),
    /// The connection is.
    Direct(usize),
    /// The client sends a line.
    Line(usize),
    /// The client takes up to so many bytes.
    Read(usize),
    /// Everything that can run runs.
    Pause,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..300_usize).prop_map(Event::Group),
        2 => (1..300_usize).prop_map(Event::Direct),
        2 => (0..50_usize).prop_map(Event::Line),
        3 => (1..500_usize).prop_map(Event::Read),
        3 => Just(Event::Pause),
    ];
    proptest::collection::vec(event, 1..60)
}

/// A line of its kind and number, with a text that tells a torn line from a whole one.
fn text(kind: char, number: usize, len: usize) -> String {
    format!("{kind}{number}:{}.", "x".repeat(len))
}

/// Checks that lines of a kind are whole and in order; that none is missing, unless some may be.
fn check(kind: char, lines: &[&str], sent: &[String], may_miss: bool) {
    let of_kind: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with(kind)).collect();
    let mut rest = sent.iter();
    for line in &of_kind {
        assert!(rest.any(|sent| sent == line), "{line:?} is torn, twice or out of order");
    }
    if !may_miss {
        assert_eq!(of_kind.len(), sent.len(), "some of {kind} are missing");
    }
}

async fn run(
    events: Vec<Event>,
    slow: SlowConsumer,
    room: usize,
    waiting_max: usize,
    writes_now: bool,
) {
    let mut shard = Shard::new();
    shard.pushes.set_connection_bytes(waiting_max);
    if writes_now {
        shard.pushes.set_write_now(write_now);
    }
    let (client, conn) = shard.connect(room);
    // A member that never reads, in whose mailbox ranges of the same log wait.
    let (_never_reads, other) = shard.connect(16);
    let group = Group::<Lf>::new(slow);
    let membership = group.join(&conn);
    let others_membership = group.join(&other);
    let (mut reader, mut writer) = tokio::io::split(client);
    let (mut groups, mut directs, mut replies) = (Vec::new(), Vec::new(), Vec::new());
    let mut said = Vec::new();
    for event in events {
        match event {
            Event::Group(len) => {
                groups.push(text('g', groups.len(), len));
                group.send(groups.last().unwrap()).unwrap();
            }
            Event::Direct(len) => {
                let message = text('d', directs.len(), len);
                if conn.push(&message).is_ok() {
                    directs.push(message);
                }
            }
            Event::Line(len) => {
                let line = text('l', replies.len(), len);
                let sends = writer.write_all(line.as_bytes());
                // A server that is not read reads no more itself.
                if tokio::time::timeout(Duration::from_millis(1), sends).await.is_err() {
                    break;
                }
                writer.write_all(b"\n").await.unwrap();
                replies.push(format!("<{line}>"));
            }
            Event::Read(bytes) => {
                let mut piece = vec![0; bytes];
                let reads = reader.read(&mut piece);
                if let Ok(n) = tokio::time::timeout(Duration::from_millis(1), reads).await {
                    said.extend_from_slice(&piece[..n.unwrap()]);
                }
            }
            Event::Pause => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    writer.write_all(b"\nend\n").await.unwrap();
    while !String::from_utf8_lossy(&said).contains("<end>") {
        let mut piece = [0; 4096];
        let n = reader.read(&mut piece).await.unwrap();
        assert_ne!(n, 0, "the connection ended after {:?}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..n]);
    }
    // Mail that came behind the last reply.
    let mut piece = [0; 1 << 16];
    while let Ok(n) = tokio::time::timeout(Duration::from_secs(1), reader.read(&mut piece)).await {
        said.extend_from_slice(&piece[..n.unwrap()]);
    }
    let said = String::from_utf8(said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let dropped = shard.stats.pushes().unwrap().dropped;
    check('g', &lines, &groups, dropped > 0);
    check('d', &lines, &directs, false);
    let found: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("<l")).collect();
    let complete = replies.iter().take(found.len());
    assert!(complete.eq(found.iter()), "replies are torn: {found:?}");
    drop((membership, others_membership));
    shard.tasks.shutdown().await;
    let left = shard.stats.pushes().unwrap();
    assert_eq!((left.waiting_bytes, left.waiting_connections, left.group_members), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_whole_and_in_order_however_the_peer_takes_them(
        events in events(),
        room in 1..400_usize,
        slow in prop_oneof![Just(SlowConsumer::DropOldest), Just(SlowConsumer::DropNewest)],
        waiting_max in 400..4000_usize,
        writes_now: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(events, slow, room, waiting_max, writes_now));
    }
}
