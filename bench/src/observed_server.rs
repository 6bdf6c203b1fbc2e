//! The server attacked, and what can be seen of it from outside.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::Path, process::Command, thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Error,
    child::Server,
    clock,
    kernel::{resident_bytes, spent},
    metrics,
};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Victim {
    server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// What is seen of it at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
    /// Kernel memory of its sockets of lines, as ss(8) tells it; 0 where there is no ss.
    pub(crate) socket_bytes: u64,
    pub(crate) closed: BTreeMap<String, u64>,
    pub(crate) refused: BTreeMap<String, u64>,
    /// Every gauge of the server's own.
    pub(crate) gauges: BTreeMap<String, f64>,
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    /// Worker processes that followed others.
    pub(crate) restarts: u64,
}

impl Victim {
    /// Two threads, as on the two cores that the figures are demanded for, unless a flag says otherwise.
    pub(crate) fn start(towline: &Path, flags: &[&str]) -> Result<Self, Error> {
        let mut command = Command::new(towline);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        for ours in [["--threads", "2"], ["--log-level", "error"]] {
            if !flags.contains(&ours[0]) {
                command.args(ours);
            }
        }
        let server = Server::start_anywhere(command.args(flags), PATIENCE)?;
        let admin = server.admin.ok_or("the server has no admin address")?;
        Ok(Self { addr: server.addr, admin, server })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    pub(crate) fn look(&self) -> Result<Sight, Error> {
        let mut sight = Sight {
            resident_bytes: resident_bytes(self.pid())?,
            descriptors: fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count(),
            socket_bytes: self.socket_bytes(),
            ..Sight::default()
        };
        for sample in metrics::samples(&self.metrics()?) {
            if sample.kind == "gauge" && sample.series.starts_with("towline_") {
                sight.gauges.insert(sample.series.to_owned(), sample.value);
            }
            let count = sample.value as u64;
            let reason = |family| sample.label(family, "reason").map(str::to_owned);
            if let Some(reason) = reason("towline_connections_closed_total") {
                sight.closed.insert(reason, count);
            } else if let Some(why) = reason("towline_connections_rejected_total") {
                sight.refused.insert(why, count);
            } else if sample.is_of("towline_connections") {
                sight.open += count;
            } else if sample.is_of("towline_connections_accepted_total") {
                sight.accepted = count;
            } else if sample.is_of("towline_worker_restarts_total") {
                sight.restarts += count;
            }
        }
        Ok(sight)
    }

    /// What is seen once nobody is connected, or when `patience` is at its end.
    pub(crate) fn look_at_rest(&self, patience: Duration) -> Result<Sight, Error> {
        let began = clock::now();
        loop {
            let sight = self.look()?;
            if sight.open == 0 {
                // Once more: they went after the descriptors were counted, and so do those who look.
                thread::sleep(Duration::from_millis(200));
                return self.look();
            }
            if clock::now().saturating_sub(began) > patience {
                return Ok(sight);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has it drain, and waits for its end; an error when it does not end well.
    pub(crate) fn end(mut self, patience: Duration) -> Result<(), Error> {
        let process = &mut self.server.process.0;
        kill_process(Pid::from_child(process), Signal::TERM)?;
        let began = clock::now();
        while clock::now().saturating_sub(began) <= patience {
            if let Some(status) = process.try_wait()? {
                let well = status.success().then_some(());
                return Ok(well.ok_or_else(|| format!("the server ended with {status}"))?);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the server did not end within {patience:?}").into())
    }

    pub(crate) fn cpu(&self) -> Duration {
        spent(self.pid())
    }

    /// Its ends of connections that wait for the last stray segments; those who close first have them.
    pub(crate) fn time_waits(&self) -> usize {
        // With its address: a client's own port may be the same number.
        let ours = self.addr.to_string();
        let output = Command::new("ss").args(["-tnH", "state", "time-wait", "src", &ours]).output();
        output.map_or(0, |output| output.stdout.iter().filter(|byte| **byte == b'\n').count())
    }

    fn socket_bytes(&self) -> u64 {
        let of_ours = format!("sport = :{}", self.addr.port());
        let output = Command::new("ss").args(["-tmnH", &of_ours]).output();
        output.map_or(0, |output| socket_bytes(&String::from_utf8_lossy(&output.stdout)))
    }

    fn metrics(&self) -> Result<String, Error> {
        // It may be the admin endpoint that is attacked: patience is allowed, failure is not.
        let mut last = None;
        for _ in 0..20 {
            match metrics::fetch(self.admin) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error.to_string()),
            }
            thread::sleep(Duration::from_millis(100));
        }
        Err(format!("/metrics does not answer: {}", last.unwrap_or_default()).into())
    }
}

/// What each socket has allocated for receiving, sending and forward, in `skmem:(r0,rb…,t0,tb…,f…`.
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
    fn what_the_kernel_says_of_sockets_is_read() {
        let ss = "0 0 a b\n\t skmem:(r10,rb131072,t2,tb16384,f3,w4,o0,bl0,d0)\n skmem:(r1,rb9)";
        assert_eq!(socket_bytes(ss), 20);
    }
}
