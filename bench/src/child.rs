//! Child processes of the benchmark: pinned to a core of their own, killed when dropped.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{Error, clock};

/// The server's core, and the load's: a shared core would measure the scheduler.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Interval at which the end of a child is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs `work` with this thread, and the children that it spawns, pinned to one core. On a host without
/// that core the scheduler decides, and the ratios are noisier.
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

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ChildGuard(pub(crate) Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A server under test that has printed its address.
#[derive(Debug)]
pub(crate) struct Server {
    process: ChildGuard,
    /// The address; unspecified when the server listens on a UNIX socket.
    pub(crate) addr: SocketAddr,
    /// Those of its other listeners, in their order.
    pub(crate) more: Vec<SocketAddr>,
    /// The UNIX socket on which the server listens.
    pub(crate) path: Option<PathBuf>,
    pub(crate) admin: Option<SocketAddr>,
}

impl Server {
    /// Starts `command` on the servers' core and waits for its `listening on ADDR` line.
    pub(crate) fn start(command: &mut Command, timeout: Duration) -> Result<Self, Error> {
        Self::spawn(command, timeout, |command| on_core(SERVER_CORE, || command.spawn()))
    }

    /// The same on all cores.
    pub(crate) fn start_on_all_cores(
        command: &mut Command,
        timeout: Duration,
    ) -> Result<Self, Error> {
        Self::spawn(command, timeout, Command::spawn)
    }

    /// Starts `command`, a server that prints nothing of the kind, on the servers' core, and waits until it
    /// accepts connections at `addr`.
    pub(crate) fn start_at(
        command: &mut Command,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Result<Self, Error> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let spawned = on_core(SERVER_CORE, || command.spawn());
        let mut process =
            ChildGuard(spawned.map_err(|e| format!("cannot start {command:?}: {e}"))?);
        let begun = clock::now();
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = process.0.try_wait()? {
                return Err(format!("{command:?} ended with {status}").into());
            }
            if clock::now().saturating_sub(begun) > timeout {
                return Err(
                    format!("{command:?} accepts nothing at {addr} after {timeout:?}").into()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Self { process, addr, more: Vec::new(), path: None, admin: None })
    }

    fn spawn(
        command: &mut Command,
        timeout: Duration,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Result<Self, Error> {
        let spawned = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut process =
            ChildGuard(spawned.map_err(|e| format!("cannot start {command:?}: {e}"))?);
        let Some(stdout) = process.0.stdout.take() else { return Err("no pipe".into()) };
        let (announce, announced) = mpsc::sync_channel(1);
        // Reads on after the line: a full pipe would block a server that prints more.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(announced) = listening_on(&line) {
                    let _ = announce.try_send(announced);
                }
            }
        });
        let Announced { addr, more, path, admin } =
            announced.recv_timeout(timeout).map_err(|_elapsed_or_ended| {
                format!("{command:?} did not say `listening on ADDR` within {timeout:?}")
            })?;
        Ok(Self { process, addr, more, path, admin })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The server's process and its children.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.pid()];
        all.extend(children(self.pid()));
        all
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// When the server still runs after `timeout`.
    pub(crate) fn stop(mut self, timeout: Duration) -> Result<ExitStatus, Error> {
        let child = &mut self.process.0;
        kill_process(Pid::from_child(child), Signal::TERM)?;
        let begun = clock::now();
        while clock::now().saturating_sub(begun) <= timeout {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Err(format!("the server did not end within {timeout:?} of SIGTERM").into())
    }
}

/// The children of a process, whichever of its threads started them.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

/// What a server says of itself: `listening on ADDR` or `listening on ADDR (admin ADDR)`.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    addr: SocketAddr,
    more: Vec<SocketAddr>,
    path: Option<PathBuf>,
    admin: Option<SocketAddr>,
}

fn listening_on(line: &str) -> Option<Announced> {
    // The first of several.
    let address = line.strip_prefix("listening on ")?.split([' ', ',']).next()?;
    let path = address.strip_prefix("unix:").map(PathBuf::from);
    let addr = match path {
        Some(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        None => address.parse().ok()?,
    };
    let rest = line.strip_prefix("listening on ")?.split(" (").next()?.split(", ").skip(1);
    let more = rest.filter_map(|address| address.parse().ok()).collect();
    let admin = line.split_once("(admin ").and_then(|(_, rest)| rest.strip_suffix(')'));
    Some(Announced { addr, more, path, admin: admin.and_then(|admin| admin.parse().ok()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_with_and_without_an_admin_address() {
        let plain = listening_on("listening on 127.0.0.1:9000");
        let [addr, metrics] = [9000, 9464].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (path, more) = (None, Vec::new());
        assert_eq!(plain, Some(Announced { addr, more, path, admin: None }));
        let admin = listening_on("listening on 127.0.0.1:9000 (admin 127.0.0.1:9464)");
        let (path, more) = (None, Vec::new());
        assert_eq!(admin, Some(Announced { addr, more, path, admin: Some(metrics) }));
        let two = listening_on("listening on 127.0.0.1:9000, 127.0.0.1:9464 (admin off)").unwrap();
        assert_eq!((two.addr, two.more), (addr, vec![metrics]));
        let unix = listening_on("listening on unix:/run/l.sock (admin off)").unwrap();
        assert_eq!(unix.path, Some(PathBuf::from("/run/l.sock")));
        assert_eq!(listening_on("listening on 127.0.0.1:9000 (admin off)"), plain);
        assert_eq!(listening_on("INFO listening on 127.0.0.1:9000"), None);
        assert_eq!(listening_on("listening on"), None);
    }
}
