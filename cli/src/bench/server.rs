//! Servers as processes of their own: started by profile, watched through `/proc`, ended by SIGTERM.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) lines: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time, in seconds.
    pub(super) cpu: f64,
    /// Time its threads were ready to run but waited for a CPU, in seconds.
    pub(super) queued: f64,
    /// Resident memory, in bytes.
    pub(super) resident: f64,
}

impl Server {
    /// Starts `towline serve` with these flags; the error is what the server said.
    pub(super) fn start(flags: &[String]) -> Result<Self, String> {
        let program = env::current_exe().map_err(|e| format!("this program is nowhere: {e}"))?;
        let mut child = Command::new(program)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "error"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("a server cannot start: {e}"))?;
        let mut first = String::new();
        if let Some(out) = child.stdout.take() {
            // The pipe may be closed afterwards: the server prints this one line only.
            let _ = BufReader::new(out).read_line(&mut first);
        }
        match announced(&first) {
            Some((lines, admin)) => {
                if let Some(mut err) = child.stderr.take() {
                    // A pipe nobody reads would stop a server with much to say.
                    thread::spawn(move || io::copy(&mut err, &mut io::sink()));
                }
                Ok(Self { child, lines, admin })
            }
            None => {
                let mut why = String::new();
                if let Some(mut err) = child.stderr.take() {
                    let _ = err.read_to_string(&mut why);
                }
                let _ = child.kill();
                let _ = child.wait();
                let last = why.trim().lines().last().unwrap_or("it said nothing").to_owned();
                Err(last.strip_prefix("towline: ").map_or(last.clone(), str::to_owned))
            }
        }
    }

    /// What its processes have used so far; zero once they are gone.
    pub(super) fn usage(&self) -> Usage {
        let processes = self.processes();
        let sum = |of: fn(u32) -> f64| processes.iter().map(|pid| of(*pid)).sum();
        Usage {
            cpu: sum(|pid| cpu_seconds(pid).unwrap_or_default()),
            queued: sum(queued_seconds),
            resident: sum(|pid| resident_bytes(pid).unwrap_or_default()),
        }
    }

    /// The process that was started, and those that it started.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        all.extend(children(self.child.id()));
        all
    }

    /// Asks the server to drain and waits for its end.
    pub(super) fn stop(mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// Whatever happens, no server outlives its measurement.
impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// `listening on ADDR (admin ADDR)`
fn announced(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (lines, admin) = line.trim().strip_prefix("listening on ")?.split_once(" (admin ")?;
    Some((lines.parse().ok()?, admin.strip_suffix(')')?.parse().ok()?))
}

/// The processes that a process started, by whichever of its threads.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: count the fields after its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn queued_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waited.sum::<u64>() as f64 / 1e9
}

pub(super) fn resident_bytes(pid: u32) -> Option<f64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64) as f64)
}

/// Resident bytes of a process without the pages of files, which processes share.
pub(super) fn private_bytes(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| {
        let row = status.lines().find_map(|line| line.strip_prefix(name))?;
        row.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    Some((kib("VmRSS:")? - kib("RssFile:")?) * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_names_both_ports() {
        let (lines, admin) =
            announced("listening on 127.0.0.1:9000 (admin 127.0.0.1:9464)\n").unwrap();
        assert_eq!((lines.port(), admin.port()), (9000, 9464));
        assert!(announced("").is_none());
    }

    #[test]
    fn a_process_has_used_something() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some());
        assert!(resident_bytes(pid).unwrap() > 100_000.0);
        assert!(private_bytes(pid).unwrap() < resident_bytes(pid).unwrap());
    }
}
