//! A server in a control group whose memory is not enough for what peers would have it hold.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    fs,
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use server::{Server, exchange};
use socket2::SockRef;

const MIB: u64 = 1 << 20;

/// A control group with a limit of memory, gone with the test.
struct Group {
    directory: PathBuf,
    first_version: bool,
}

impl Group {
    /// `None` where this process may make none: it takes a privilege that not even CI has everywhere.
    fn with_limit(bytes: u64) -> Option<Self> {
        let made = Self::make(bytes);
        if let Err(why) = &made {
            eprintln!("skipped: no control group with a memory limit can be made here: {why}");
        }
        made.ok()
    }

    fn make(bytes: u64) -> std::io::Result<Self> {
        let first_version = Path::new("/sys/fs/cgroup/memory/cgroup.procs").exists();
        let mounted = Path::new("/sys/fs/cgroup").join(if first_version { "memory" } else { "" });
        let directory = mounted.join(format!("towline-test-{}-{bytes}", process::id()));
        fs::create_dir(&directory)?;
        let group = Self { directory, first_version };
        let [limit, swap] = if first_version {
            ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        } else {
            ["memory.max", "memory.swap.max"]
        };
        fs::write(group.directory.join(limit), bytes.to_string())?;
        // Where there is no swap there is no such file, and no need for it.
        let _ = fs::write(
            group.directory.join(swap),
            if first_version { bytes } else { 0 }.to_string(),
        );
        Ok(group)
    }

    fn start(&self, arguments: &[&str]) -> Server {
        let enter =
            format!("echo $$ >{}/cgroup.procs && exec \"$0\" \"$@\"", self.directory.display());
        Server::start_by(Command::new("sh").args(["-c", &enter]), arguments)
    }

    /// Processes that were killed because the limit was reached.
    fn kills(&self) -> u64 {
        let file = if self.first_version { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.directory.join(file)).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        lines.next().unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The server was reaped, but the kernel may be a moment behind.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Floods and never reads, for as long as the server takes it.
fn stuck(server: &Server) -> TcpStream {
    let peer = server.connect();
    SockRef::from(&peer).set_recv_buffer_size(4096).unwrap();
    peer.set_nonblocking(true).unwrap();
    peer
}

/// The server looked for the limit where only containers have it: under a service manager's it took
/// the host's whole memory for its own, and never felt any pressure.
#[test]
fn fault_17_stuck_peers_in_a_small_control_group_are_cut_before_the_kernel_kills() {
    floods(128 * MIB, 240);
}

/// What all hold together was looked at ten times a second, and these filled the group before the
/// first look.
#[test]
fn fault_17_many_stuck_peers_in_a_smaller_one_are_held_back_before_anybody_looks() {
    floods(64 * MIB, 400);
}

fn floods(limit: u64, stuck_peers: usize) {
    let Some(group) = Group::with_limit(limit) else { return };
    let server = group.start(&["--threads", "2", "--write-timeout", "10s"]);
    // A quarter of what is left, or the least that it can be.
    let buffers = server.metric("towline_buffer_limit_bytes") as u64;
    assert!((16 * MIB..=limit / 4).contains(&buffers), "{buffers}");

    let mut polite = server.connect();
    exchange(&mut polite, "before\n", "before\n");
    // By `limits.output_bytes` alone together twice the memory for buffers, or six times as much.
    let block = b"some line\n".repeat(6000);
    let mut peers: Vec<_> = (0..stuck_peers).map(|_| stuck(&server)).collect();
    for _ in 0..200 {
        for peer in &mut peers {
            // Full, or closed by the server.
            let _ = peer.write(&block);
        }
        thread::sleep(Duration::from_millis(10));
    }
    server.metric_when("towline_connections_closed_total{reason=\"write_timeout\"}", |cut| {
        cut == stuck_peers as f64
    });
    server.metric_when("towline_overload_active{step=\"refuse\"}", |active| active == 0.0);
    exchange(&mut polite, "after\n", "after\n");
    exchange(&mut server.connect(), "a new one\n", "a new one\n");
    assert_eq!(group.kills(), 0);
    server.signal(Signal::TERM);
    drop((polite, peers));
    assert_eq!(server.end().code, 0);
}
