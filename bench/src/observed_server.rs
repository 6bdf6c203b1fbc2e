//! A towline server, and what can be observed of it from outside.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Command, thread,
    time::Duration,
};

use crate::{
    Error,
    child::Server,
    clock,
    kernel::{cpu_time, resident_bytes},
    metrics,
};

/// Longest wait for a server's start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Scrapes tried before the admin endpoint counts as dead, and the pause between two.
const SCRAPE_ATTEMPTS: usize = 20;
const SCRAPE_PAUSE: Duration = Duration::from_millis(100);

/// A running server whose metrics and `/proc` files are read.
#[derive(Debug)]
pub(crate) struct ObservedServer {
    server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// The state of a server at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
    /// Kernel memory of its sockets for lines, from ss(8); 0 where there is no ss.
    pub(crate) socket_bytes: u64,
    /// Connections closed and refused, by reason.
    pub(crate) closed: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
    /// Every gauge of the server.
    pub(crate) gauges: BTreeMap<String, f64>,
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    /// Restarts of worker processes.
    pub(crate) restarts: u64,
}

impl ObservedServer {
    /// Starts a server with two threads, because the figures are demanded for two cores, unless `flags`
    /// say otherwise.
    pub(crate) fn start(towline: &Path, flags: &[&str]) -> Result<Self, Error> {
        Self::start_in(&[], towline, flags)
    }

    /// Starts one with more variables in its environment, for settings without a flag.
    pub(crate) fn start_in(
        environment: &[(&str, &str)],
        towline: &Path,
        flags: &[&str],
    ) -> Result<Self, Error> {
        let mut command = Command::new(towline);
        command.envs(environment.iter().copied());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        for ours in [["--threads", "2"], ["--log-level", "error"]] {
            if !flags.contains(&ours[0]) {
                command.args(ours);
            }
        }
        let server = Server::start_on_all_cores(command.args(flags), START_TIMEOUT)?;
        let admin = server.admin.ok_or("the server has no admin address")?;
        Ok(Self { addr: server.addr, admin, server })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The address of its second listener.
    pub(crate) fn second_addr(&self) -> Result<SocketAddr, Error> {
        Ok(*self.server.more.first().ok_or("the server has one listener")?)
    }

    /// The state of the server now.
    ///
    /// # Errors
    /// When `/metrics` does not answer.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut snapshot = Snapshot {
            resident_bytes: resident_bytes(self.pid())?,
            descriptors: fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count(),
            socket_bytes: self.socket_bytes(),
            ..Snapshot::default()
        };
        for sample in metrics::samples(&self.metrics()?) {
            if sample.kind == "gauge" && sample.series.starts_with("towline_") {
                snapshot.gauges.insert(sample.series.to_owned(), sample.value);
            }
            let count = sample.value as u64;
            let reason = |family| sample.label(family, "reason").map(str::to_owned);
            if let Some(reason) = reason("towline_connections_closed_total") {
                snapshot.closed.insert(reason, count);
            } else if let Some(why) = reason("towline_connections_rejected_total") {
                snapshot.refused.insert(why, count);
            } else if sample.is_of("towline_connections") {
                snapshot.open += count;
            } else if sample.is_of("towline_connections_accepted_total") {
                snapshot.accepted = count;
            } else if sample.is_of("towline_worker_restarts_total") {
                snapshot.restarts += count;
            }
        }
        Ok(snapshot)
    }

    /// The state of the server once no connection is open, or after `timeout`.
    pub(crate) fn snapshot_at_rest(&self, timeout: Duration) -> Result<Snapshot, Error> {
        let began = clock::now();
        loop {
            let snapshot = self.snapshot()?;
            if snapshot.open == 0 {
                // Again, because descriptors are counted before connections, and the scrape has one.
                thread::sleep(Duration::from_millis(200));
                return self.snapshot();
            }
            if clock::now().saturating_sub(began) > timeout {
                return Ok(snapshot);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When it still runs after `timeout`, or its exit code is not 0.
    pub(crate) fn stop(self, timeout: Duration) -> Result<(), Error> {
        let status = self.server.stop(timeout)?;
        let clean = status.success().then_some(());
        Ok(clean.ok_or_else(|| format!("the server ended with {status}"))?)
    }

    /// CPU time of its threads.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_time(self.pid())
    }

    /// Its sockets in TIME_WAIT: the end that closes a connection first has them.
    pub(crate) fn time_waits(&self) -> usize {
        // By address and port: a client's port may have the same number.
        let source = self.addr.to_string();
        let output =
            Command::new("ss").args(["-tnH", "state", "time-wait", "src", &source]).output();
        output.map_or(0, |output| output.stdout.iter().filter(|byte| **byte == b'\n').count())
    }

    fn socket_bytes(&self) -> u64 {
        let filter = format!("sport = :{}", self.addr.port());
        let output = Command::new("ss").args(["-tmnH", &filter]).output();
        output.map_or(0, |output| socket_bytes(&String::from_utf8_lossy(&output.stdout)))
    }

    fn metrics(&self) -> Result<String, Error> {
        // The admin endpoint may be under attack: a scrape may be refused, but not all of them.
        let mut last = None;
        for _ in 0..SCRAPE_ATTEMPTS {
            match metrics::fetch(self.admin, "/metrics") {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error.to_string()),
            }
            thread::sleep(SCRAPE_PAUSE);
        }
        Err(format!("/metrics does not answer: {}", last.unwrap_or_default()).into())
    }
}

/// The sum of receive, transmit, forward-allocated and queued bytes in `skmem:(r0,rb…,t0,tb…,f…,w…`.
fn socket_bytes(ss: &str) -> u64 {
    let memory = ss.split("skmem:(").skip(1).filter_map(|rest| rest.split_once(')'));
    let numbers = memory.flat_map(|(fields, _)| fields.split(',')).filter_map(|field| {
        let digits = field.find(|c: char| c.is_ascii_digit())?;
        let (name, value) = field.split_at(digits);
        matches!(name, "r" | "t" | "f" | "w").then(|| value.parse::<u64>().ok())?
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_sockets_is_summed() {
        let ss = "0 0 a b\n\t skmem:(r10,rb131072,t2,tb16384,f3,w4,o0,bl0,d0)\n skmem:(r1,rb9)";
        assert_eq!(socket_bytes(ss), 20);
    }
}
