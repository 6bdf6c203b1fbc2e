//! A server that is stopped and goes on, as a debugger, a container's pause or a suspended host do it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{io::Read as _, thread, time::Duration};

use rustix::process::Signal;
use server::{Server, exchange};

/// All were closed at the moment it went on: the clock said that they had been silent.
#[test]
fn fault_25_peers_survive_a_stop_longer_than_every_deadline() {
    let deadlines = ["--idle-timeout", "4s", "--heartbeat", "off", "--line-deadline", "4s"];
    let server = Server::start(&[], &[&deadlines[..], &["--threads", "2"]].concat());
    let mut peers: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for peer in &mut peers {
        exchange(peer, "a\nhalf", "a\n");
    }
    server.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(6));
    server.signal(Signal::CONT);
    // None of them can have been heard yet, and all have as long as they had before.
    thread::sleep(Duration::from_millis(300));
    for peer in &mut peers {
        exchange(peer, " a line\n", "half a line\n");
    }
    // Deadlines go on.
    for mut peer in peers {
        assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
    }
    let closed = server.metric("towline_connections_closed_total{reason=\"idle_timeout\"}");
    assert_eq!(closed, 100.0);
}
