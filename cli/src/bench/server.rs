//! A server under test, as a process of its own: started with flags, ended by SIGTERM.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::process::children;

/// Longest wait for a server's end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Interval at which its end is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) lines: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Server {
    /// Starts `towline serve` with `flags` on free ports. The error is the server's own sentence.
    pub(super) fn start(flags: &[String]) -> Result<Self, String> {
        let program = env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let mut child = Command::new(program)
            .arg("serve")
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "error"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start a server: {e}"))?;
        let mut first = String::new();
        if let Some(out) = child.stdout.take() {
            // The pipe is closed afterwards: the server prints this one line only.
            let _ = BufReader::new(out).read_line(&mut first);
        }
        match announced(&first) {
            Some((lines, admin)) => {
                if let Some(mut err) = child.stderr.take() {
                    // Drains the log: a full pipe would block the server.
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
                let last = why.trim().lines().last().unwrap_or("it printed no error").to_owned();
                Err(last.strip_prefix("towline: ").map_or(last.clone(), str::to_owned))
            }
        }
    }

    /// The server's process and its worker processes.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        all.extend(children(self.child.id()));
        all
    }

    /// Sends SIGTERM and waits for the end of the drain; kills the server after 15 seconds.
    pub(super) fn stop(mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        for _ in 0..STOP_TIMEOUT.as_millis() / POLL_INTERVAL.as_millis() {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Kills a server that still runs: none outlives its measurement.
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
}
