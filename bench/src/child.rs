//! Processes of the benchmark: started on a core of their own, ended when dropped.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Error;

/// One core for the server, the next for its load: a shared core would measure the scheduler.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Runs `work` with this thread, and whatever it spawns, on one core. On a host without that core the
/// scheduler decides, and the ratios are noisier.
pub(crate) fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None);
    let mut only = CpuSet::new();
    only.set(core);
    let pinned = sched_setaffinity(None, &only);
    let value = work();
    if let (Ok(before), Ok(())) = (before, pinned) {
        let _ = sched_setaffinity(None, &before);
    }
    value
}

/// A child that does not outlive its owner.
#[derive(Debug)]
pub(crate) struct Owned(pub(crate) Child);

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A server under test, which has said where it listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Owned,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
}

impl Server {
    /// Starts `command` on the servers' core and waits for its `listening on ADDR` line.
    pub(crate) fn start(command: &mut Command, patience: Duration) -> Result<Self, Error> {
        on_core(SERVER_CORE, || Self::start_anywhere(command, patience))
    }

    /// The same, on whatever cores there are.
    pub(crate) fn start_anywhere(command: &mut Command, patience: Duration) -> Result<Self, Error> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut process = Owned(spawned.map_err(|e| format!("cannot start {command:?}: {e}"))?);
        let Some(stdout) = process.0.stdout.take() else { return Err("no pipe".into()) };
        let (tell, told) = mpsc::sync_channel(1);
        // Reads on after the line: a server that prints more must not block on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(addresses) = listening_on(&line) {
                    let _ = tell.try_send(addresses);
                }
            }
        });
        let (addr, admin) = told.recv_timeout(patience).map_err(|_elapsed_or_ended| {
            format!("{command:?} did not say `listening on ADDR` within {patience:?}")
        })?;
        Ok(Self { process, addr, admin })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// The addresses in `listening on ADDR` or `listening on ADDR (admin ADDR)`.
fn listening_on(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let addr = line.strip_prefix("listening on ")?.split_whitespace().next()?.parse().ok()?;
    let admin = line.split_once("(admin ").and_then(|(_, rest)| rest.strip_suffix(')'));
    Some((addr, admin.and_then(|admin| admin.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_with_and_without_an_admin_address() {
        let plain = listening_on("listening on 127.0.0.1:9000");
        let admin = listening_on("listening on 127.0.0.1:9000 (admin 127.0.0.1:9464)");
        let [lines, metrics] = [9000, 9464].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(plain, Some((lines, None)));
        assert_eq!(admin, Some((lines, Some(metrics))));
        assert_eq!(listening_on("listening on 127.0.0.1:9000 (admin off)"), plain);
        assert_eq!(listening_on("INFO listening on 127.0.0.1:9000"), None);
        assert_eq!(listening_on("listening on"), None);
    }
}
