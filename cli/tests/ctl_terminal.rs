//! `towline ctl` in a real terminal, against a server under load.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use towline_test_support::{Client, ServerProcess, TempFile, Terminal};

const ADMIN: &str = "towline_connections_closed_total{reason=\"admin\"}";
const ACTIVE: &str = "towline_connections_active";

/// Sends lines and reads their replies until the server closes. Returns the lines that were sent, and the
/// bytes that came; an error, such as a reset, fails the test.
fn flood(mut client: Client, stop: &AtomicBool) -> (usize, usize) {
    let (mut sent, mut came) = (0, 0);
    let mut buffer = [0; 4096];
    while !stop.load(Relaxed) {
        if client.write_all(b"0123456789\n").is_err() {
            break;
        }
        sent += 1;
        match client.read(&mut buffer).expect("an orderly end") {
            0 => break,
            read => came += read,
        }
    }
    (sent, came)
}

/// Four clients that exchange lines all the time.
fn under_load(test: impl FnOnce(&ServerProcess, &str)) -> Vec<(usize, usize)> {
    let socket = TempFile::absent();
    let server = ServerProcess::start(&[], &["--threads", "1", "--admin-socket", socket.name()]);
    let clients = server.connect_many(4);
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let stop = stop.clone();
            thread::spawn(move || flood(client, &stop))
        })
        .collect();
    test(&server, socket.name());
    stop.store(true, Relaxed);
    floods.into_iter().map(|flood| flood.join().unwrap()).collect()
}

#[test]
fn kill_asks_back_and_no_closes_nothing() {
    under_load(|server, socket| {
        let arguments = ["ctl", "--socket", socket, "kill", "--match", "peer=127.0.0.1"];
        let Some(terminal) = Terminal::towline(80, 24, &arguments) else { return };
        terminal.wait_for("closes 4 of 4 connections: go on? [y/N]");
        terminal.press(&["n", "Enter"]);
        terminal.wait_for("towline: no connection was closed");
        terminal.wait_for("[exit 1]");
        assert_eq!((server.metric(ADMIN), server.metric(ACTIVE)), (0.0, 4.0));
    });
}

#[test]
fn kill_asks_back_and_yes_closes_each_in_order_with_every_reply() {
    let floods = under_load(|server, socket| {
        let arguments = ["ctl", "--socket", socket, "kill", "--match", "lines>0"];
        let Some(terminal) = Terminal::towline(80, 24, &arguments) else { return };
        terminal.wait_for("go on? [y/N]");
        terminal.press(&["y", "Enter"]);
        terminal.wait_for("closing 4 connections");
        terminal.wait_for("[exit 0]");
        server.metric_when(ADMIN, |closed| closed == 4.0);
        server.metric_when(ACTIVE, |active| active == 0.0);
    });
    for (sent, came) in floods {
        // The line that crossed the close is not taken; every one before it is answered.
        assert!(came / 11 >= sent - 1 && came % 11 == 0, "{sent} lines, {came} bytes");
    }
}

#[test]
fn one_connection_is_closed_without_a_question_and_the_others_stay() {
    let ends = under_load(|server, socket| {
        let list = server.get("/connections?sort=age&limit=1");
        let id = list.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let Some(terminal) = Terminal::towline(80, 24, &["ctl", "--socket", socket, "kill", &id])
        else {
            return;
        };
        terminal.wait_for("closing 1 connection");
        terminal.wait_for("[exit 0]");
        server.metric_when(ADMIN, |closed| closed == 1.0);
        server.metric_when(ACTIVE, |active| active == 3.0);
    });
    assert_eq!(ends.len(), 4);
}
