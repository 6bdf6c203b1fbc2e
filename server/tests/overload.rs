//! Overload control: memory for buffers runs out and comes back, and a server that is only full.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{io::Write as _, time::Duration};

use support::{TestServer, echo};
use towline_config::{Admission, Settings};
use towline_test_support::Client;

const MIB: usize = 1 << 20;

/// A client that makes the server hold `bytes` bytes of a line that never ends.
fn holding(server: &TestServer, bytes: usize) -> Client {
    let mut client = server.connect();
    client.send(vec![b'x'; bytes]);
    client
}

fn small(settings: &mut Settings) {
    settings.limits.buffer_bytes = Some(4 * MIB);
    settings.limits.line_bytes = MIB;
    settings.timeouts.line = None;
}

fn active(step: &str) -> String {
    format!("towline_overload_active{{step=\"{step}\"}}")
}

#[track_caller]
fn steps_when(server: &TestServer, expected: [f64; 3]) {
    let step = ["shrink", "shed", "refuse"].map(active);
    server.metrics_when(|metrics| [0, 1, 2].map(|at: usize| metrics.get(&step[at])) == expected);
}

#[test]
fn fault_17_the_ladder_sheds_refuses_and_recovers_while_idle_clients_stay() {
    let server = echo(small);
    let mut well_behaved = server.connect();
    well_behaved.ask("a\n", "a\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_buffer_limit_bytes"), 4.0 * MIB as f64);
    assert_eq!(metrics.get("towline_overload_pressure_ratio{resource=\"memory\"}"), 0.0);

    let mut holders: Vec<_> = (0..4).map(|_| holding(&server, 940_000)).collect();
    steps_when(&server, [1.0, 0.0, 0.0]);
    well_behaved.ask("a\n", "a\n");
    holders.push(holding(&server, 140_000));
    steps_when(&server, [1.0, 1.0, 0.0]);
    well_behaved.ask("a\nb\n", "ERR overloaded\nERR overloaded\n");
    holders.push(holding(&server, 200_000));
    steps_when(&server, [1.0, 1.0, 1.0]);
    // This connection waits in the kernel's queue.
    let mut late = server.connect();
    late.send("b\n");
    late.expect_silence(Duration::from_millis(300));

    holders.clear();
    steps_when(&server, [0.0, 0.0, 0.0]);
    late.expect("b\n");
    well_behaved.ask("a\n", "a\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 0.0);
    metrics.assert_connections_add_up();
}

/// The ladder alone was too late for such clients: it reads the pressure ten times a second, and within
/// a tenth of a second they made the server hold `limits.output_bytes` for each of them.
#[test]
fn fault_17_clients_that_flood_and_never_read_leave_room_for_a_batch_of_each() {
    const CLIENTS: usize = 40;
    let server = echo(|settings| settings.limits.buffer_bytes = Some(8 * MIB));
    let mut well_behaved = server.connect();
    well_behaved.ask("a\n", "a\n");
    let block = "some line\n".repeat(6000);
    let mut flooders: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for flooder in &flooders {
        flooder.set_nonblocking(true).unwrap();
    }
    let mut most = 0.0_f64;
    for _ in 0..100 {
        for flooder in &mut flooders {
            // As much as the kernel takes.
            let _ = flooder.write(block.as_bytes());
        }
        most = most.max(server.metrics().get("towline_buffer_bytes{direction=\"write\"}"));
        well_behaved.ask("a\n", "a\n");
    }
    // Half of the memory, one block that may exceed it, and small ones. Without the bound: 10 MiB.
    assert!(most >= (4 * MIB) as f64, "{most}: the clients do not flood");
    assert!(most <= (4 * MIB + 64 * 1024 + CLIENTS * 8 * 1024) as f64, "{most}");
    let metrics = server.metrics();
    for step in ["shrink", "shed", "refuse"] {
        assert_eq!(metrics.get(&active(step)), 0.0, "{step}");
    }
}

#[test]
fn fault_17_with_admission_reject_connections_are_rejected_for_memory() {
    let server = echo(|settings| {
        small(settings);
        settings.limits.admission = Admission::Reject;
    });
    let holders: Vec<_> = (0..5).map(|_| holding(&server, 900_000)).collect();
    steps_when(&server, [1.0, 1.0, 1.0]);
    server.metrics_when(|metrics| {
        server.connect().expect_end("ERR too many connections\n");
        metrics.get("towline_connections_rejected_total{reason=\"memory\"}") > 0.0
    });
    drop(holders);
    steps_when(&server, [0.0, 0.0, 0.0]);
    server.connect().ask("a\n", "a\n");
}

/// Without shorter timeouts these clients would hold the memory for a minute: longer than this test
/// waits for anything.
#[test]
fn fault_17_under_pressure_clients_that_hold_memory_get_less_time_and_idle_ones_as_much() {
    let server = echo(|settings| {
        small(settings);
        settings.timeouts.line = Some(Duration::from_secs(60));
    });
    let mut well_behaved = server.connect();
    well_behaved.ask("a\n", "a\n");
    let holders: Vec<_> = (0..5).map(|_| holding(&server, 900_000)).collect();
    steps_when(&server, [1.0, 1.0, 1.0]);
    server.metrics_when(|metrics| metrics.closed("read_timeout") >= 1.0);
    // When one of them is closed, the others may have most of their minute again, unless it is already
    // over: on a busy machine they do not begin together.
    server.metrics_when(|metrics| {
        ["shed", "refuse"].into_iter().all(|step| metrics.get(&active(step)) == 0.0)
    });
    well_behaved.ask("a\n", "a\n");
    drop(holders);
    steps_when(&server, [0.0, 0.0, 0.0]);
}

#[test]
fn fault_17_a_full_server_is_not_overloaded() {
    // A full server shortens `timeouts.idle`, where that is set, and does nothing else.
    for (idle, shrinks) in [(Some(Duration::from_secs(3600)), 1.0), (None, 0.0)] {
        full(idle, shrinks);
    }
}

#[track_caller]
fn full(idle: Option<Duration>, shrinks: f64) {
    let server = echo(|settings| {
        settings.limits.connections = std::num::NonZeroU32::new(3);
        settings.timeouts.idle = idle;
    });
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("a\n", "a\n");
    }
    let full = "towline_overload_pressure_ratio{resource=\"connections\"}";
    server.metrics_when(|metrics| {
        metrics.get(full) == 1.0 && metrics.get(&active("shrink")) == shrinks
    });
    for client in &mut clients {
        client.ask("b\n", "b\n");
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get(&active("shed")), 0.0);
    assert_eq!(metrics.get(&active("refuse")), 0.0);
}
