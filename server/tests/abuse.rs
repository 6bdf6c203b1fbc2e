//! Misbehaving clients, and well-behaved ones beside them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    convert::Infallible,
    io::Read as _,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::{self, Scope},
    time::Duration,
};

use socket2::SockRef;
use support::{TestServer, echo};
use towline::{Lines, service_fn};
use towline_test_support::{Client, Metrics};

#[test]
fn fault_03_an_endless_line_is_refused_and_holds_no_more_than_its_limit() {
    const LIMIT: usize = 1024 * 1024;
    const SENT: usize = 64 * 1024 * 1024;
    let server = echo(|settings| settings.limits.line_bytes = LIMIT);
    let (mut sending, mut other) = (server.connect(), server.connect());
    let mut receiving = sending.try_clone().unwrap();
    let over = AtomicBool::new(false);
    let mut held_max = 0.0_f64;
    thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..SENT / piece.len() {
                // The server may close before it has read everything.
                if sending.try_send(&piece).is_err() {
                    break;
                }
            }
            sending.end_of_input();
            over.store(true, Relaxed);
        });
        while !over.load(Relaxed) {
            let held = server.metrics().get("towline_buffer_bytes{direction=\"read\"}");
            held_max = held_max.max(held);
        }
    });
    assert!(held_max <= LIMIT as f64, "it held {held_max}");
    let mut answer = [0; 18];
    receiving.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ERR line too long\n");
    other.ask("another client\n", "another client\n");
    drop(receiving);
    let metrics = server.metrics_when(|metrics| metrics.closed("line_too_long") == 1.0);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 0.0);
    metrics.assert_connections_add_up();
}

#[test]
fn fault_35_a_client_may_reset_or_end_at_any_byte_and_the_counters_are_exact() {
    const TEXT: &str = "one\ntwo\n\nfour\n";
    let server = echo(|_| ());
    let (mut lines, mut halves) = (0, 0);
    for cut in 0..=TEXT.len() {
        let sent = &TEXT[..cut];
        let whole = sent.rfind('\n').map_or(0, |at| at + 1);
        let mut client = server.connect();
        client.send(sent);
        client.end_of_input();
        client.expect_end(&sent[..whole]);
        lines += sent.matches('\n').count();
        halves += usize::from(whole < cut);
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("peer_eof"), TEXT.len() as f64 + 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), lines as f64);
    assert_eq!(metrics.get("towline_lines_unterminated_total"), halves as f64);

    // Resets after each byte of the lines, and after each byte of the replies. Whether the server has
    // read the lines by then is a race, so only the sums are exact.
    for cut in 0..=TEXT.len() {
        let mut client = server.connect();
        client.send(&TEXT[..cut]);
        client.reset();
        let mut client = server.connect();
        client.send(TEXT);
        client.expect(&TEXT[..cut]);
        client.reset();
    }
    let metrics = server.metrics_when_empty();
    let ends = 3.0 * (TEXT.len() as f64 + 1.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), ends);
    assert_eq!(metrics.closed("peer_eof") + metrics.closed("peer_reset"), ends);
    assert!(metrics.closed("peer_reset") > 0.0);
    for direction in ["read", "write"] {
        let held = format!("towline_buffer_bytes{{direction=\"{direction}\"}}");
        assert_eq!(metrics.get(&held), 0.0);
    }
}

/// A read ends before urgent data, and the bytes behind it may be read only with the next segment. That
/// delays the sender's own connection alone; no byte is lost and none is added.
#[test]
fn fault_42_urgent_data_is_not_a_line_nor_a_part_of_one() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    client.send("b");
    SockRef::from(&*client).send_out_of_band(b"!").unwrap();
    client.send("c\n");
    client.end_of_input();
    client.expect_end("bc\n");
    assert_eq!(server.metrics_when_empty().get("towline_lines_received_total"), 2.0);
}

/// A request of a well-behaved client; see [`Turns`].
const ASK: &[u8] = b"turn?\n";

/// Most batches of each flooding connection that a shard serves between the arrival of a line and its
/// service. It is 2 on an idle machine and on a busy one, and 6 without the yield queue.
const TURNS_MAX: usize = 4;

/// Counts the batches that each shard has served, so that a test can compare turns instead of time.
#[derive(Debug, Default, Clone)]
struct Turns(Arc<[AtomicUsize; 2]>);

impl Turns {
    /// A server that echoes, and answers [`ASK`] with the shard and the turn that served it.
    fn serve(&self, threads: u32) -> TestServer {
        let turns = self.clone();
        let service = service_fn(move |lines: Lines| {
            let shard = shard();
            let turn = turns.0[shard].fetch_add(1, SeqCst);
            let reply = if lines.as_bytes() == ASK {
                Lines::from_iter([format!("{shard} {turn}")])
            } else {
                lines
            };
            async move { Ok::<_, Infallible>(reply) }
        });
        support::serve(service, |settings| settings.server.threads = NonZeroU32::new(threads))
    }

    fn now(&self) -> [usize; 2] {
        [0, 1].map(|shard| self.0[shard].load(SeqCst))
    }

    /// Waits until every one of `shards` serves a flood.
    fn wait_for_floods(&self, shards: usize) {
        while self.now()[..shards].iter().any(|turns| *turns < 100) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A client that was answered once. Its first line may arrive long before the acceptor's thread gets a
    /// processor, and turns of the shard pass meanwhile that say nothing about the order of its connections.
    fn client(&self, server: &TestServer) -> Client {
        let mut client = server.connect();
        self.ask(&mut client);
        client
    }

    /// Sends [`ASK`], and returns how many turns of others came between its arrival and its reply.
    fn ask(&self, client: &mut Client) -> usize {
        client.send(ASK);
        // Over loopback the line has arrived when `send` returns. A delay of this thread from here on
        // makes the difference smaller, never larger.
        let arrived = self.now();
        let reply = client.read_line();
        let (shard, turn) = reply.trim_end().split_once(' ').unwrap();
        let (shard, turn): (usize, usize) = (shard.parse().unwrap(), turn.parse().unwrap());
        turn.saturating_sub(arrived[shard])
    }
}

/// The index of the shard on whose thread this runs.
fn shard() -> usize {
    let thread = thread::current();
    thread.name().and_then(|name| name.strip_prefix("shard-")?.parse().ok()).unwrap()
}

/// Ends the floods when dropped, also by a panic: a scope waits for its threads.
struct Floods<'a>(&'a AtomicBool);

impl Drop for Floods<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Clients that send lines without a pause and read the replies.
fn flood<'scope>(
    scope: &'scope Scope<'scope, '_>,
    server: &TestServer,
    clients: usize,
    stop: &'scope AtomicBool,
) -> Floods<'scope> {
    for _ in 0..clients {
        let mut client = server.connect();
        let mut receiving = client.try_clone().unwrap();
        scope.spawn(move || std::io::copy(&mut receiving, &mut std::io::sink()));
        scope.spawn(move || {
            let flood = "x\n".repeat(100_000);
            while !stop.load(Relaxed) && client.try_send(&flood).is_ok() {}
            client.end_of_input();
        });
    }
    Floods(stop)
}

#[test]
fn fault_21_a_line_beside_endless_floods_waits_for_a_few_turns_of_each() {
    const FLOODS: usize = 8;
    let turns = Turns::default();
    let server = turns.serve(1);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _floods = flood(scope, &server, FLOODS, &stop);
        turns.wait_for_floods(1);
        let mut client = turns.client(&server);
        let waited: Vec<_> = (0..200).map(|_| turns.ask(&mut client)).collect();
        assert!(waited.iter().all(|turns| *turns <= TURNS_MAX * FLOODS), "{waited:?}");
    });
}

#[test]
fn fault_22_beside_as_many_floods_every_client_waits_for_a_few_turns_of_each() {
    const SHARDS: usize = 2;
    const EACH: usize = 20;
    let turns = Turns::default();
    let server = turns.serve(SHARDS as u32);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _floods = flood(scope, &server, EACH, &stop);
        turns.wait_for_floods(SHARDS);
        let asking: Vec<_> = (0..EACH)
            .map(|_| {
                let (mut client, turns) = (turns.client(&server), &turns);
                scope.spawn(move || (0..20).map(|_| turns.ask(&mut client)).max().unwrap())
            })
            .collect();
        let waited: Vec<_> = asking.into_iter().map(|client| client.join().unwrap()).collect();
        assert!(waited.iter().all(|turns| *turns <= TURNS_MAX * EACH / SHARDS), "{waited:?}");
    });
    server.metrics_when_empty().assert_connections_add_up();
}

#[test]
fn fault_11_a_storm_of_resets_is_counted_and_leaves_nothing_behind() {
    const ROUNDS: usize = 1500;
    let server = echo(|_| ());
    for round in 0..ROUNDS {
        let mut client = server.connect();
        match round % 3 {
            // Most likely before it is accepted. Linux lets it be accepted all the same, and its first
            // read fails.
            0 => {}
            1 => client.send("line\n"),
            _ => client.ask("line\n", "line\n"),
        }
        client.reset();
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_connections_accepted_total"), ROUNDS as f64);
    assert_eq!(metrics.closed("peer_reset"), ROUNDS as f64);
    assert_nothing_left(&server, &metrics);
}

#[test]
fn fault_12_short_connections_with_one_line_leave_nothing_behind() {
    const ROUNDS: usize = 1500;
    let server = echo(|_| ());
    server.connect().ask("first\n", "first\n");
    let before = server.metrics_when_empty();
    for _ in 0..ROUNDS {
        server.connect().ask("line\n", "line\n");
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("peer_eof"), ROUNDS as f64 + 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), ROUNDS as f64 + 1.0);
    assert_nothing_left(&server, &metrics);
    // Every gauge of the server is back at its earlier value.
    assert_eq!(before.gauges(), metrics.gauges());
}

#[track_caller]
fn assert_nothing_left(server: &TestServer, metrics: &Metrics) {
    metrics.assert_connections_add_up();
    assert_eq!(server.running().connections(), 0);
    for direction in ["read", "write"] {
        let held = format!("towline_buffer_bytes{{direction=\"{direction}\"}}");
        assert_eq!(metrics.get(&held), 0.0);
    }
}
