//! `log.connections`: the records of connections that ended.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{BufRead as _, BufReader};

use rustix::process::Signal;
use serde_json::Value;
use towline_test_support::{ServerProcess, TempFile, signal, wait_until};

fn start(arguments: &[&str]) -> ServerProcess {
    let all = [&["--log-format", "json", "--max-line", "10B"], arguments].concat();
    ServerProcess::start(&[], &all)
}

fn log_of(server: ServerProcess) -> Vec<Value> {
    server.signal(Signal::TERM);
    server.end().stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_record(line: &Value) -> bool {
    line["target"] == "towline::connection" && line["message"] == "connection closed"
}

fn records(server: ServerProcess) -> Vec<Value> {
    log_of(server).into_iter().filter(is_record).collect()
}

/// Ends a connection in disorder. Returns its two addresses.
fn send_too_much(server: &ServerProcess) -> [String; 2] {
    let mut client = server.connect();
    let addresses = [client.local_addr(), client.peer_addr()].map(|end| end.unwrap().to_string());
    client.ask("a\nb\n", "a\nb\n");
    client.send("a line that is too long\n");
    client.expect_end("ERR line too long\n");
    addresses
}

/// Ends a connection in order.
fn say_goodbye(server: &ServerProcess) {
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    client.end_of_input();
    client.expect_end("");
}

#[test]
fn a_connection_that_ends_in_disorder_has_one_record_that_names_it() {
    let server = start(&["--threads", "1"]);
    say_goodbye(&server);
    let [peer, listener] = send_too_much(&server);
    // Health checks and port scans.
    let check = server.connect();
    server.metric_when("towline_connections_accepted_total", |accepted| accepted == 3.0);
    check.reset();
    wait_until("all are closed", || server.metrics().sum("towline_connections") == 0.0);
    let records = records(server);
    let [record] = &records[..] else { panic!("{records:?}") };
    for (field, expected) in [
        ("level", "INFO"),
        ("id", "0-2"),
        ("peer", &peer),
        ("listener", &listener),
        ("reason", "line_too_long"),
    ] {
        assert_eq!(record[field], expected, "{record}");
    }
    assert_eq!(record["lines"], 2, "{record}");
    for field in ["age_seconds", "write_wait_seconds"] {
        assert!(record[field].as_f64().unwrap() >= 0.0, "{record}");
    }
    assert!(record["buffered_bytes_max"].is_u64(), "{record}");
}

#[test]
fn a_record_has_the_kernel_s_figures_of_the_socket() {
    let options = ["--threads", "1", "--log-connections", "all", "--write-timeout", "1s"];
    let server = start(&options);
    say_goodbye(&server);
    let mut stuck = server.connect();
    stuck.send_until_stuck();
    server.metric_when("towline_connections_closed_total{reason=\"write_timeout\"}", |n| n == 1.0);
    let records = records(server);
    let [polite, stuck] = &records[..] else { panic!("{records:?}") };
    assert_eq!(
        (&polite["reason"], &stuck["reason"]),
        (&"peer_eof".into(), &"write_timeout".into())
    );
    assert_eq!(
        (polite["read_bytes"].as_u64(), polite["written_bytes"].as_u64()),
        (Some(2), Some(2))
    );
    for record in &records {
        assert!(record["rtt_seconds"].as_f64().unwrap() > 0.0, "{record}");
        assert_eq!(record["retransmits"], 0, "{record}");
    }
    for field in ["lines", "read_bytes", "unsent_bytes", "buffered_bytes_max"] {
        assert!(stuck[field].as_u64().unwrap() > 0, "{field}: {stuck}");
    }
    assert!(stuck["write_wait_seconds"].as_f64().unwrap() >= 1.0, "{stuck}");
}

#[test]
fn a_reload_decides_whether_all_or_no_connections_have_records() {
    let file = TempFile::new("[log]\nconnections = \"all\"\n");
    let server = start(&["--threads", "2", "--config", file.name()]);
    say_goodbye(&server);
    send_too_much(&server);
    for setting in ["off", "abnormal"] {
        file.write(format!("[log]\nconnections = \"{setting}\"\n"));
        let reloads = server.metric("towline_config_reloads_total{result=\"ok\"}");
        server.signal(Signal::HUP);
        server.metric_when("towline_config_reloads_total{result=\"ok\"}", |now| now > reloads);
        say_goodbye(&server);
        send_too_much(&server);
    }
    wait_until("all are closed", || server.metrics().sum("towline_connections") == 0.0);
    let mut reasons: Vec<_> = records(server)
        .iter()
        .map(|record| record["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["line_too_long", "line_too_long", "peer_eof"]);
}

#[test]
fn records_beyond_a_hundred_a_second_are_counted_and_the_log_says_so() {
    const ENDED: u64 = 400;
    let mut server = start(&["--threads", "2"]);
    let log = BufReader::new(server.log());
    for _ in 0..ENDED {
        send_too_much(&server);
    }
    let (mut written, mut left_out) = (0, 0);
    for line in log.lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        written += u64::from(is_record(&line));
        left_out += line["count"].as_u64().unwrap_or(0);
        if written + left_out == ENDED {
            break;
        }
    }
    assert_eq!(written + left_out, ENDED);
}

/// Serves a connection on each of four threads.
fn serve_on_each(server: &ServerProcess) {
    let mut clients = server.connect_many(4);
    for client in &mut clients {
        client.end_of_input();
        client.expect_end("");
    }
    wait_until("all are closed", || server.metrics().sum("towline_connections") == 0.0);
}

#[test]
fn connections_of_several_processes_have_different_ids_also_after_a_restart() {
    let server = start(&["--processes", "2", "--threads", "2", "--log-connections", "all"]);
    serve_on_each(&server);
    let workers = server.workers();
    for worker in &workers {
        signal(*worker, Signal::KILL);
    }
    wait_until("the processes are started again", || {
        let now = server.workers();
        now.len() == workers.len() && !now.iter().any(|pid| workers.contains(pid))
    });
    server.metric_when("towline_worker_processes{state=\"serving\"}", |serving| serving == 2.0);
    serve_on_each(&server);
    wait_until("all are closed", || server.metrics().sum("towline_connections") == 0.0);
    let mut ids: Vec<_> =
        records(server).iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    let expected: Vec<_> = (0..4)
        .flat_map(|worker| [1, 10_000_001].map(|serial| format!("{worker}-{serial}")))
        .collect();
    assert_eq!(ids, expected);
}
