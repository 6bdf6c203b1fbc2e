//! A server on a network with lost segments, partitions and low bandwidth, made by namespaces and packet
//! filters.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use towline_test_support::{Client, Namespace, can, kernel_counter, wait_until};

const ONE_THREAD: [&str; 2] = ["--threads", "1"];

/// Sends `lines` numbered lines and checks that exactly these come back.
fn verify(stream: Client, lines: usize) {
    let text: String = (0..lines).map(|line| format!("line {line}\n")).collect();
    let mut sending = stream.try_clone().unwrap();
    let mut receiving = stream;
    thread::scope(|scope| {
        scope.spawn(|| {
            sending.write_all(text.as_bytes()).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = String::new();
        receiving.read_to_string(&mut got).unwrap();
        assert!(got == text, "{} bytes came back for {}, or others", got.len(), text.len());
    });
}

#[test]
fn fault_39_lost_segments_change_no_byte() {
    for percent in [1, 5, 20] {
        let Some(net) = Namespace::start("true", &[], &ONE_THREAD) else { return };
        // Small segments, so that many can be lost.
        net.run("ip link set lo mtu 576");
        let stream = net.connect();
        net.segments(&format!("numgen random mod 100 < {percent} counter drop"));
        verify(stream, 5000);
        net.segments_pass();
        net.connect().ask("and on\n", "and on\n");
    }
}

#[test]
fn fault_39_low_bandwidth_changes_no_byte() {
    let slow =
        "tc qdisc add dev lo root tbf rate 2mbit burst 8kb latency 200ms; ip link set lo mtu 576";
    let Some(net) = Namespace::start(slow, &[], &ONE_THREAD) else { return };
    verify(net.connect(), 5000);
}

/// Waits until one connection has closed for `reason`, and none is open.
#[track_caller]
fn wait_for_close(net: &Namespace, reason: &str) {
    wait_until(reason, || net.metrics().closed(reason) == 1.0);
    wait_until("no connection", || net.metrics().get("towline_connections_active") == 0.0);
}

/// The server gets neither FIN nor reset, only silence.
#[test]
fn fault_09_an_idle_client_that_is_disconnected_is_detected_by_the_heartbeat() {
    let flags = ["--threads", "1", "--heartbeat", "500ms", "--heartbeat-timeout", "500ms"];
    let Some(net) = Namespace::start("true", &[], &flags) else { return };
    let mut stream = net.connect();
    stream.ask("here\n", "here\n");
    net.segments("drop");
    wait_for_close(&net, "heartbeat_timeout");
}

#[test]
fn fault_09_a_client_that_acknowledges_nothing_is_closed_by_the_user_timeout() {
    let flags = ["--threads", "1", "--heartbeat", "200ms", "--heartbeat-timeout", "1h"];
    let environment = [("TOWLINE_SOCKET__USER_TIMEOUT", "1s")];
    let Some(net) = Namespace::start("true", &environment, &flags) else { return };
    let mut stream = net.connect();
    stream.ask("here\n", "here\n");
    net.segments("drop");
    // The unacknowledged segment is the ping.
    wait_for_close(&net, "peer_reset");
}

#[test]
fn fault_40_a_connection_survives_a_partition_shorter_than_the_deadlines() {
    let Some(net) = Namespace::start("true", &[], &ONE_THREAD) else { return };
    let mut stream = net.connect();
    stream.ask("before\n", "before\n");
    net.segments("drop");
    stream.send("meanwhile\n");
    thread::sleep(Duration::from_secs(1));
    net.segments_pass();
    stream.expect("meanwhile\n");
    stream.ask("after\n", "after\n");
}

#[test]
fn fault_40_after_a_longer_partition_both_sides_end_in_order() {
    let flags = ["--threads", "1", "--heartbeat", "300ms", "--heartbeat-timeout", "300ms"];
    let Some(net) = Namespace::start("true", &[], &flags) else { return };
    let mut stream = net.connect();
    stream.ask("before\n", "before\n");
    net.segments("drop");
    wait_for_close(&net, "heartbeat_timeout");
    net.segments_pass();
    // Sent bytes arrive whole, then the end.
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest);
    assert!(rest.is_empty() || rest == b"ping\n", "{}", rest.escape_ascii());
    net.connect().ask("again\n", "again\n");
}

#[test]
fn fault_41_a_load_generator_without_free_ports_reports_it() {
    const PORTS: usize = 20;
    let few = "echo 40000 40019 > /proc/sys/net/ipv4/ip_local_port_range";
    let Some(net) = Namespace::start(few, &[], &ONE_THREAD) else { return };
    let output = net.enter(|server| {
        let mut load = Command::new(env!("CARGO_BIN_EXE_towline"));
        load.args(["load", &server.lines().to_string(), "-c", "60", "-T", "200ms"]);
        load.args(["--sources", "127.0.0.1", "--processes", "1", "--json", "-", "--quiet"]);
        load.output().unwrap()
    });
    let (report, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let without_port = report["connect_errors"]["no_port"].as_u64().unwrap();
    assert!((40..60).contains(&without_port), "{report:#}");
    assert!(report["connections"]["established"].as_u64().unwrap() <= PORTS as u64);
    assert!(stderr.contains("port"), "{stderr}");
}

#[test]
fn fault_41_doctor_predicts_where_ports_run_out() {
    let few = "echo 40000 40019 > /proc/sys/net/ipv4/ip_local_port_range";
    let Some(net) = Namespace::start(few, &[], &ONE_THREAD) else { return };
    let output = net.enter(|_| {
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_towline"));
        doctor.args(["doctor", "--side", "load", "--connections", "100", "--json"]);
        doctor.output().unwrap()
    });
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let walls = report["prediction"]["walls"].as_array().unwrap();
    let ports = walls.iter().find(|wall| wall["name"].as_str().unwrap().contains("port"));
    let ports = ports.unwrap_or_else(|| panic!("{walls:#?}"));
    assert!(ports["connections"].as_u64().unwrap() <= 20, "{ports:#}");
}

/// SYNs from addresses that do not exist fill the kernel's queue of half-open connections. It answers
/// with SYN cookies then, and the server sees none of it.
#[test]
fn fault_13_a_syn_flood_keeps_no_client_out() {
    let flags = ["--threads", "1", "--backlog", "64"];
    let Some(net) = Namespace::start("ip route add default dev lo", &[], &flags) else { return };
    if !can("command -v hping3") {
        return;
    }
    let mut stream = net.connect();
    stream.ask("before\n", "before\n");
    let mut flood = net.enter(|server| {
        let port = server.lines().port().to_string();
        let mut flood = Command::new("hping3");
        flood.args(["--quiet", "--syn", "--rand-source", "--interval", "u100", "--count", "20000"]);
        flood.args(["--destport", &port, "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
        flood.spawn().unwrap()
    });
    while net.enter(|_| kernel_counter("SyncookiesSent")) == 0 {
        assert!(flood.try_wait().unwrap().is_none(), "the flood was too small");
        thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..20 {
        stream.ask("still here\n", "still here\n");
        net.connect().ask("let in\n", "let in\n");
    }
    flood.kill().unwrap();
    flood.wait().unwrap();
}
