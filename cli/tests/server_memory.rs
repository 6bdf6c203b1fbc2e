//! A server in a control group with less memory than its clients could make it hold.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{io::Write as _, thread, time::Duration};

use rustix::process::Signal;
use socket2::SockRef;
use towline_test_support::{Client, ControlGroup, ServerProcess};

const MIB: u64 = 1 << 20;

/// Processes of the group that the kernel killed at the limit.
fn kills(group: &ControlGroup) -> u64 {
    let text = group.read(["memory.oom_control", "memory.events"]);
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
    lines.next().unwrap().parse().unwrap()
}

/// A client with a tiny receive buffer that never reads.
fn stuck(server: &ServerProcess) -> Client {
    let peer = server.connect();
    SockRef::from(&*peer).set_recv_buffer_size(4096).unwrap();
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
    let memory = ["memory.limit_in_bytes", "memory.max"];
    let Some(group) = ControlGroup::with_limit(memory, limit) else { return };
    // A host without swap has no such file. The first version limits memory and swap together.
    let swap = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
    let _ = group.limit(swap, if group.is_first_version() { limit } else { 0 });
    let server = group.start(&["--threads", "2", "--write-timeout", "10s"]);
    // A quarter of the memory that is left, or the smallest limit there is.
    let buffers = server.metric("towline_buffer_limit_bytes") as u64;
    assert!((16 * MIB..=limit / 4).contains(&buffers), "{buffers}");

    let mut well_behaved = server.connect();
    well_behaved.ask("before\n", "before\n");
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
    well_behaved.ask("after\n", "after\n");
    server.connect().ask("a new client\n", "a new client\n");
    assert_eq!(kills(&group), 0);
    server.signal(Signal::TERM);
    drop((well_behaved, clients));
    assert_eq!(server.end().code, 0);
}
