//! Overload control: memory for buffers runs out and comes back, and a server that is only full.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, io::Write as _, sync::Arc, time::Duration};

use support::{TestServer, echo, serve};
use tokio::sync::Semaphore;
use towline::{Lines, service_fn};
use towline_config::{Admission, Settings};
use towline_test_support::Client;

const MIB: usize = 1 << 20;

/// A client that makes the server hold `bytes` bytes of a line that never ends.
fn holding(server: &TestServer, bytes: usize) -> Client {
    let mut client = server.connect();
    client.send(vec![b'x'; bytes]);
    client
}

/// A client with a line of `bytes` bytes in service.
fn in_service(server: &TestServer, bytes: usize) -> Client {
    let mut client = holding(server, bytes);
    client.send("\n");
    client
}

/// Echoes short lines, and serves long ones until the gate is open.
fn gated(gate: &Arc<Semaphore>, change: impl FnOnce(&mut Settings)) -> TestServer {
    let gate = gate.clone();
    let service = service_fn(move |lines: Lines| {
        let gate = gate.clone();
        async move {
            if lines.as_bytes().len() > 1000 {
                let _open = gate.acquire().await;
            }
            Ok::<_, Infallible>(lines)
        }
    });
    serve(service, |settings| {
        small(settings);
        settings.timeouts.request = None;
        change(settings);
    })
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
    let gate = Arc::new(Semaphore::new(0));
    let server = gated(&gate, |_| {});
    let mut well_behaved = server.connect();
    well_behaved.ask("a\n", "a\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_buffer_limit_bytes"), 4.0 * MIB as f64);
    assert_eq!(metrics.get("towline_overload_pressure_ratio{resource=\"memory\"}"), 0.0);

    let mut clients: Vec<_> = (0..4).map(|_| in_service(&server, 940_000)).collect();
    steps_when(&server, [1.0, 0.0, 0.0]);
    well_behaved.ask("a\n", "a\n");
    clients.push(in_service(&server, 140_000));
    steps_when(&server, [1.0, 1.0, 0.0]);
    well_behaved.ask("a\nb\n", "ERR overloaded\nERR overloaded\n");
    assert_eq!(server.metrics().closed("overload"), 0.0, "what is in service is not closed");
    drop(clients);
    gate.add_permits(1);
    steps_when(&server, [0.0, 0.0, 0.0]);
    well_behaved.ask("a\n", "a\n");
    server.metrics().assert_connections_add_up();
}

/// Clients that left lines unfinished filled the memory for buffers and came back when they were cut.
/// For as long as they did, nearly every line of every other client was answered `ERR overloaded`, and
/// new clients were refused.
#[test]
fn fault_17_clients_that_leave_lines_unfinished_and_come_back_take_no_line_from_others() {
    const ROUNDS: usize = 40;
    let server = echo(small);
    let mut well_behaved = server.connect();
    let mut holders: Vec<_> = (0..8).map(|_| holding(&server, 900_000)).collect();
    for _ in 0..ROUNDS {
        for holder in &mut holders {
            // Each that is cut comes back, and may be cut again before it has sent everything.
            if holder.ended().is_some() {
                *holder = server.connect();
                let _ = holder.try_send(vec![b'x'; 900_000]);
            }
        }
        well_behaved.ask("a\nb\n", "a\nb\n");
        server.connect().ask("new\n", "new\n");
        let metrics = server.metrics();
        assert_eq!([metrics.get(&active("shed")), metrics.get(&active("refuse"))], [0.0, 0.0]);
    }
    server.metrics_when(|metrics| metrics.closed("overload") >= 4.0);
    drop(holders);
    steps_when(&server, [0.0, 0.0, 0.0]);
    let metrics = server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"shed\"}"), 0.0);
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
fn fault_17_connections_wait_for_memory_or_are_rejected() {
    for admission in [Admission::Wait, Admission::Reject] {
        let gate = Arc::new(Semaphore::new(0));
        let server = gated(&gate, |settings| settings.limits.admission = admission);
        // A long line for which there is no room would be closed as the one that holds the most.
        let bytes = [900_000, 900_000, 900_000, 900_000, 200_000, 200_000];
        let mut clients = Vec::new();
        for bytes in bytes {
            clients.push(in_service(&server, bytes));
            let served = clients.len() as f64;
            server.metrics_when(|metrics| {
                metrics.get("towline_connections{state=\"service\"}") == served
            });
        }
        steps_when(&server, [1.0, 1.0, 1.0]);
        if admission == Admission::Wait {
            // In the kernel's queue.
            let mut late = server.connect();
            late.send("b\n");
            late.expect_silence(Duration::from_millis(300));
            gate.add_permits(1);
            late.expect("b\n");
        } else {
            server.metrics_when(|metrics| {
                server.connect().expect_end("ERR too many connections\n");
                metrics.get("towline_connections_rejected_total{reason=\"memory\"}") > 0.0
            });
            gate.add_permits(1);
        }
        drop(clients);
        steps_when(&server, [0.0, 0.0, 0.0]);
        server.connect().ask("a\n", "a\n");
    }
}

/// Clients that hold make room for what is in service, and for each other; those that hold nothing stay.
#[test]
fn fault_17_under_pressure_clients_that_hold_memory_are_closed_and_idle_ones_stay() {
    let gate = Arc::new(Semaphore::new(0));
    let server = gated(&gate, |settings| settings.timeouts.idle = Some(Duration::from_secs(3600)));
    let mut well_behaved = server.connect();
    well_behaved.ask("a\n", "a\n");
    let _holders: Vec<_> = (0..3).map(|_| holding(&server, 900_000)).collect();
    server.metrics_when(|metrics| {
        metrics.get("towline_buffer_bytes{direction=\"read\"}") == 2_700_000.0
    });
    let mut clients: Vec<_> = (0..2).map(|_| in_service(&server, 900_000)).collect();
    server.metrics_when(|metrics| metrics.closed("overload") == 1.0);
    clients.push(in_service(&server, 900_000));
    let metrics = server.metrics_when(|metrics| metrics.closed("overload") == 2.0);
    assert_eq!([metrics.get(&active("shed")), metrics.get(&active("refuse"))], [0.0, 0.0]);
    well_behaved.ask("a\n", "a\n");
    gate.add_permits(1);
    for client in &mut clients {
        assert_eq!(client.read_line().len(), 900_001);
    }
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
