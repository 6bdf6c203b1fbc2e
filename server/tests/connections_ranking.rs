//! `GET /connections` finds the clients that do not read among many that do, and agrees with `ss`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::{TestServer, echo, echo_on};
use towline_test_support::{Client, can, http::get, wait_until};

const NEVER_READERS: usize = 50;

/// A client that sends and never reads, with small buffers, so that the server soon has to wait for it.
fn never_reader(server: &TestServer) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    Client::from(TcpStream::from(socket))
}

/// Sends lines until the socket takes no more.
fn send_more(client: &Client) {
    let mut stream: &TcpStream = client;
    let lines = b"0123456789abcde\n".repeat(1024);
    loop {
        match stream.write(&lines) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn listing(server: &TestServer, query: &str) -> Value {
    let response = get(server.admin, &format!("/connections{query}"));
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.head.contains("content-type: application/json"), "{}", response.head);
    serde_json::from_str(&response.body).unwrap()
}

fn rows(listing: &Value) -> &[Value] {
    listing["connections"].as_array().unwrap()
}

fn peers(rows: &[Value]) -> BTreeSet<SocketAddr> {
    rows.iter().map(|row| row["peer"].as_str().unwrap().parse().unwrap()).collect()
}

/// Never-readers that the server waits for, and as many others as given, each of which has had a line
/// answered.
fn crowd(server: &TestServer, others: usize) -> (Vec<Client>, Vec<Client>) {
    // Among the others, not before or behind them.
    let mut readers: Vec<_> = (0..others / 2).map(|_| server.connect()).collect();
    let never_readers: Vec<_> = (0..NEVER_READERS).map(|_| never_reader(server)).collect();
    readers.extend((others / 2..others).map(|_| server.connect()));
    readers.iter_mut().for_each(|client| client.ask("a line\n", "a line\n"));
    wait_until("the never-readers are waited for", || {
        never_readers.iter().for_each(send_more);
        listing(server, "?state=write_wait")["matched"] == NEVER_READERS
    });
    (never_readers, readers)
}

/// The never-readers are the first rows by write wait and by unsent bytes, and all that match their state.
fn the_first_rows_are_the_never_readers(others: usize) {
    let server = echo(|_| ());
    let (never_readers, mut readers) = crowd(&server, others);
    let ports: BTreeSet<_> = never_readers.iter().map(|c| c.local_addr().unwrap()).collect();
    for query in ["", "?sort=unsent", "?state=write_wait&sort=age&limit=1000"] {
        let listing = listing(&server, query);
        let rows = rows(&listing);
        assert_eq!(
            (&listing["open"], &listing["partial"]),
            (&Value::from(NEVER_READERS + others), &Value::from(false))
        );
        assert_eq!(rows.len(), NEVER_READERS, "{query}");
        assert_eq!(peers(rows), ports, "{query}");
        for row in rows {
            assert_eq!(row["state"], "write_wait", "{row}");
            assert!(row["write_wait_seconds"].as_f64() > Some(0.0), "{row}");
            assert!(row["unsent_bytes"].as_u64() > Some(0), "{row}");
        }
        let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), NEVER_READERS, "each has an id of its own");
    }
    // The list disturbed none of the others.
    readers.iter_mut().for_each(|client| client.ask("another\n", "another\n"));
}

/// As many as set in `TOWLINE_LISTED_CONNECTIONS`; both ends are in this process, so a limit of descriptors
/// of 20,000 is enough for 9,900.
#[test]
fn fifty_never_readers_are_the_first_fifty_of_thousands() {
    let set = env::var("TOWLINE_LISTED_CONNECTIONS").ok();
    let others = set.map_or(2_000, |number| number.parse().unwrap());
    the_first_rows_are_the_never_readers(others);
}

/// What `ss` shows of a socket.
#[derive(Debug, PartialEq)]
struct Shown {
    send_queue: u64,
    rtt_micros: u64,
    retransmits: u64,
}

/// The connections of a server as `ss` shows them, by peer.
fn ss(server: &TestServer) -> BTreeMap<SocketAddr, Shown> {
    let port = server.address.port();
    let output = Command::new("ss")
        .args(["-tinmHO", "state", "connected", &format!("sport = :{port}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let of = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let rtt = of("rtt:").unwrap_or("0/0").split('/').next()?.parse::<f64>().ok()?;
        let shown = Shown {
            send_queue: words[2].parse().ok()?,
            rtt_micros: (rtt * 1e3).round() as u64,
            // `retrans:now/total`, left out if both are 0.
            retransmits: of("retrans:").map_or(Some(0), |r| r.split('/').nth(1)?.parse().ok())?,
        };
        Some((words[4].parse().ok()?, shown))
    };
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| shown(line).unwrap_or_else(|| panic!("ss printed {line:?}"))).collect()
}

#[test]
fn what_is_listed_of_a_thousand_sockets_agrees_with_ss() {
    if !can("ss -V") {
        return;
    }
    const SOCKETS: usize = 1000;
    let server = echo(|_| ());
    let (_never_readers, _readers) = crowd(&server, SOCKETS - NEVER_READERS);
    // What moves meanwhile (a probe of a closed window, say) is not compared.
    let mut compared = 0;
    wait_until("most sockets are at rest", || {
        thread::sleep(Duration::from_millis(100));
        let before = ss(&server);
        let listing = listing(&server, "?limit=1000&sort=unsent");
        let after = ss(&server);
        assert_eq!(peers(rows(&listing)).len(), SOCKETS);
        assert_eq!(peers(rows(&listing)), before.keys().copied().collect());
        let mut at_rest = 0;
        for row in rows(&listing) {
            let peer = row["peer"].as_str().unwrap().parse().unwrap();
            let shown = &before[&peer];
            if after.get(&peer) != Some(shown) {
                continue;
            }
            at_rest += 1;
            let waits = row["state"] == "write_wait";
            let buffered = if waits { row["buffered_bytes"].as_u64().unwrap() } else { 0 };
            let listed = Shown {
                send_queue: row["unsent_bytes"].as_u64().unwrap() - buffered,
                rtt_micros: (row["rtt_seconds"].as_f64().unwrap() * 1e6).round() as u64,
                retransmits: row["retransmits"].as_u64().unwrap(),
            };
            assert_eq!(listed, *shown, "{row}");
        }
        compared = at_rest;
        at_rest >= SOCKETS - NEVER_READERS
    });
    assert!(compared >= SOCKETS - NEVER_READERS);
}

/// A health check came over the loopback device first, and what the kernel knows of the connections of all
/// other clients was not found: the server looked them up by the address that the check had connected to.
#[test]
fn connections_to_several_addresses_of_the_host_are_found() {
    let server = echo_on("0.0.0.0:0");
    let port = server.address.port();
    let mut clients = Vec::new();
    for number in 1..=3 {
        let mut client = Client::connect(([127, 0, 0, number], port).into());
        client.ask("a line\n", "a line\n");
        clients.push(client);
        // The server searches for new addresses once in ten seconds.
        wait_until("the kernel's figures", || {
            let listing = listing(&server, "");
            rows(&listing).len() == clients.len()
                && rows(&listing).iter().all(|row| row["rtt_seconds"].is_f64())
        });
    }
    let listing = listing(&server, "?sort=age");
    let listeners: Vec<_> =
        rows(&listing).iter().map(|row| row["listener"].as_str().unwrap()).collect();
    assert_eq!(listeners, [1, 2, 3].map(|number| format!("127.0.0.{number}:{port}")));
}
