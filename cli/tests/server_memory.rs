//! A server in a control group with less memory than its clients could make it hold.

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

/// A control group with a memory limit, removed after the test.
struct Group {
    directory: PathBuf,
    first_version: bool,
}

impl Group {
    /// `None` without the privilege to make one, which not every CI host grants.
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
        // A host without swap has no such file and needs none.
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

    /// Processes that the kernel killed at the limit.
    fn kills(&self) -> u64 {
        let file = if self.first_version { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.directory.join(file)).unwrap();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        lines.next().unwrap().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may need a moment after the server was reaped.
        for _ in 0..100 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A client with a tiny receive buffer that never reads.
fn stuck(server: &Server) -> TcpStream {
    let peer = server.connect();
    SockRef::from(&peer).set_recv_buffer_size(4096).unwrap();
    peer.set_nonblocking(true).unwrap();
    peer
}

/// The server read the limit where only containers have it: in a service manager's group it took the
/// host's whole memory for its own, and never saw any pressure.
#[test]
fn fault_17_stuck_clients_in_a_small_control_group_are_closed_before_the_kernel_kills() {
    flood(128 * MIB, 240);
}

/// The memory of all connections was checked ten times a second, and these clients filled the group
/// before the first check.
#[test]
fn fault_17_many_stuck_clients_in_a_smaller_one_are_held_back_before_the_first_check() {
    flood(64 * MIB, 400);
}

fn flood(limit: u64, stuck_clients: usize) {
    let Some(group) = Group::with_limit(limit) else { return };
    let server = group.start(&["--threads", "2", "--write-timeout", "10s"]);
    // A quarter of the memory that is left, or the smallest limit there is.
    let buffers = server.metric("towline_buffer_limit_bytes") as u64;
    assert!((16 * MIB..=limit / 4).contains(&buffers), "{buffers}");

    let mut well_behaved = server.connect();
    exchange(&mut well_behaved, "before\n", "before\n");
    // `limits.output_bytes` alone would allow two or six times the memory for buffers.
    let block = b"some line\n".repeat(6000);
    let mut clients: Vec<_> = (0..stuck_clients).map(|_| stuck(&server)).collect();
    for _ in 0..200 {
        for client in &mut clients {
            // The buffer is full, or the server has closed.
            let _ = client.write(&block);
        }
        thread::sleep(Duration::from_millis(10));
    }
    server.metric_when("towline_connections_closed_total{reason=\"write_timeout\"}", |cut| {
        cut == stuck_clients as f64
    });
    server.metric_when("towline_overload_active{step=\"refuse\"}", |active| active == 0.0);
    exchange(&mut well_behaved, "after\n", "after\n");
    exchange(&mut server.connect(), "a new client\n", "a new client\n");
    assert_eq!(group.kills(), 0);
    server.signal(Signal::TERM);
    drop((well_behaved, clients));
    assert_eq!(server.end().code, 0);
}
