//! `GET /connections`: which connections are open, what each does, and whose fault a wait is.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{collections::BTreeSet, net::TcpStream, thread, time::Duration};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use towline_test_support::{Client, http::get, wait_until};

use support::{TestServer, echo};

fn list(server: &TestServer, query: &str) -> Value {
    let answer = get(server.admin, &format!("/connections{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list["connections"].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap()).collect()
}

/// Each sends until neither side takes more, and reads nothing.
fn all_get_stuck(clients: &mut [Client]) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.send_until_stuck());
        }
    });
}

/// Replies may wait for longer than a test takes.
fn patient(settings: &mut towline_config::Settings) {
    settings.timeouts.write = Some(Duration::from_secs(600));
}

/// An operator saw that 50 of 270 connections did not read, and could not find out which.
#[test]
fn the_first_fifty_rows_are_the_fifty_clients_that_do_not_read() {
    let server = echo(patient);
    let mut polite: Vec<Client> = (0..220).map(|_| server.connect()).collect();
    for client in &mut polite {
        client.ask("a\n", "a\n");
    }
    let mut stuck: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    let ports: BTreeSet<String> =
        stuck.iter().map(|client| client.local_address().to_string()).collect();
    all_get_stuck(&mut stuck);
    wait_until("all are waited for", || list(&server, "?state=write_wait")["matched"] == 50);
    for sort in ["write_wait", "unsent", "lines", "bytes"] {
        let listed = list(&server, &format!("?sort={sort}&limit=50"));
        assert_eq!((&listed["open"], &listed["matched"]), (&270.into(), &270.into()));
        assert_eq!((&listed["shown"], &listed["partial"]), (&50.into(), &false.into()));
        let peers: BTreeSet<String> =
            texts(&listed, "peer").into_iter().map(str::to_owned).collect();
        assert_eq!(peers, ports, "sort={sort}");
        assert_eq!(texts(&listed, "state"), ["write_wait"; 50], "sort={sort}");
    }
    let one = &list(&server, "?limit=1")["connections"][0];
    assert!(one["unsent_bytes"].as_u64().unwrap() > 64 * 1024, "{one}");
    assert!(one["id"].as_str().unwrap().starts_with(one["worker"].as_str().unwrap()), "{one}");
    let polite = list(&server, "?sort=age&state=idle&match=lines%3C2&limit=1000");
    assert_eq!(polite["matched"], 220);
    assert_eq!(polite["connections"][7]["read_bytes"], 2);
}

#[test]
fn what_cannot_be_read_is_answered_with_what_was_expected() {
    let server = echo(|_| ());
    for (query, why) in [
        (
            "?sort=size",
            "sort=\"size\": expected one of write_wait, unsent, idle, age, lines, bytes, rtt\n",
        ),
        (
            "?match=stuck",
            "\"stuck\" is no condition: expected peer=ADDRESS, state=STATE, cause=CAUSE, worker=NUMBER, or idle, age, wait, unsent, bytes or lines with > or < and a value\n",
        ),
        ("?limit=5000", "limit=\"5000\": expected a number from 1 to 1000\n"),
    ] {
        let answer = get(server.admin, &format!("/connections{query}"));
        assert_eq!((answer.status, answer.body.as_str()), (400, why));
    }
}

#[test]
fn closed_connections_are_remembered_with_why_they_ended() {
    let server = echo(|settings| settings.limits.line_bytes = 16);
    let mut usual = server.connect();
    usual.ask("a\n", "a\n");
    drop(usual);
    let mut long = server.connect();
    let peer = long.local_address().to_string();
    long.send([b'x'; 100]);
    long.expect_end("ERR line too long\n");
    drop(long);
    wait_until("both have ended", || {
        list(&server, "?closed=10")["closed"].as_array().unwrap().len() == 2
    });
    let listed = list(&server, "?closed=10");
    let reasons: BTreeSet<&str> = listed["closed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, BTreeSet::from(["line_too_long", "peer_eof"]));
    let long = listed["closed"].as_array().unwrap().iter().find(|one| one["peer"] == *peer);
    assert_eq!(long.unwrap()["reason"], "line_too_long");
    assert_eq!(list(&server, "")["closed"].as_array().unwrap().len(), 0, "only on request");
}

/// A client with a receive buffer of a few kilobytes that never reads.
fn with_small_buffer(server: &TestServer) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.into()
}

/// The first two seconds of each wait counted as unknown, which was half of a stall of four seconds.
#[test]
fn a_client_that_does_not_read_is_named_as_the_cause_of_its_wait() {
    let server = echo(patient);
    let mut stuck: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    all_get_stuck(&mut stuck);
    let small: Vec<TcpStream> = (0..10).map(|_| with_small_buffer(&server)).collect();
    for client in &small {
        client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        while std::io::Write::write(&mut &*client, &[b'\n'; 16 * 1024]).is_ok() {}
    }
    wait_until("each has a cause", || {
        let listed = list(&server, "?match=cause%3Dpeer");
        listed["matched"] == 20
    });
    wait_until("time is attributed", || {
        let metrics = server.metrics();
        let by =
            |cause| metrics.get(&format!("towline_write_wait_seconds_total{{cause=\"{cause}\"}}"));
        by("peer") > 5.0 * (by("network") + by("buffer"))
    });
    let metrics = server.metrics();
    let attributed: f64 = metrics.sum("towline_write_wait_seconds_total");
    let waited = metrics.get("towline_io_wait_seconds_total{direction=\"write\"}");
    assert!(attributed <= waited, "{attributed} of {waited}");
    let unknown = metrics.get("towline_write_wait_seconds_total{cause=\"unknown\"}");
    assert!(unknown <= 0.05 * attributed, "{unknown} of {attributed}");
}

#[test]
fn lists_asked_for_at_once_do_not_disturb_lines() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    thread::scope(|scope| {
        let askers: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    // Each may take a second where threads compete for the cores.
                    for _ in 0..5 {
                        assert_eq!(list(&server, "?sort=rtt")["open"], 1);
                    }
                })
            })
            .collect();
        for _ in 0..100 {
            client.ask("b\n", "b\n");
        }
        for asker in askers {
            asker.join().unwrap();
        }
    });
    assert_eq!(list(&server, "")["connections"][0]["lines"], 101);
}

#[test]
fn a_list_is_given_while_the_server_drains() {
    // Longer than a list takes where threads compete for the cores.
    let server = echo(|settings| settings.timeouts.drain_delay = Some(Duration::from_secs(8)));
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    let admin = server.admin;
    let drained = thread::spawn(move || server.drain());
    wait_until("it drains", || get(admin, "/readyz").body == "draining\n");
    let listed: Value = serde_json::from_str(&get(admin, "/connections").body).unwrap();
    assert_eq!(listed["open"], 1);
    client.expect_end("");
    drained.join().unwrap();
}
