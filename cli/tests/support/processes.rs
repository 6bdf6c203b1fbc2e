//! Servers of several processes, and what they have in common.

#![allow(dead_code, reason = "each test uses a part")]

use std::{fs, net::TcpStream, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Server, exchange};

const STEP: Duration = Duration::from_millis(10);
pub(crate) const ACTIVE: &str = "towline_connections_active";
pub(crate) const LOST: &str = "towline_connections_closed_total{reason=\"worker_lost\"}";

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub(crate) fn gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // One that nobody has waited for yet is gone all the same.
    stat.map_or(true, |stat| stat.contains(") Z "))
}

pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("{what} did not come about");
}

pub(crate) fn start(flags: &[&str]) -> Server {
    Server::start(&[], &[&["--processes", "3"], flags].concat())
}

/// So many connections that have exchanged a line each.
pub(crate) fn connections(server: &Server, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = server.connect();
        exchange(&mut stream, "hello\n", "hello\n");
        stream
    };
    (0..count).map(connect).collect()
}

/// The sums that hold at every scrape.
#[track_caller]
pub(crate) fn balances(server: &Server) {
    let metrics = server.get("/metrics");
    let sum = |name: &str| -> f64 {
        let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let series = series.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
        series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    };
    let (accepted, closed) =
        (sum("towline_connections_accepted_total"), sum("towline_connections_closed_total"));
    assert_eq!(accepted - closed, sum("towline_connections"), "{metrics}");
    assert_eq!(sum("towline_connections"), sum(ACTIVE), "{metrics}");
}
