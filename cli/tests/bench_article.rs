//! `towline bench article` as a process: the table at a small scale, and bottlenecks put in its way.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::fs;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use support::{TempFile, refusal, towline};

fn table(duration: &str, more: &[&str]) -> Value {
    let mut arguments = vec!["bench", "article", "-T", duration, "--quiet", "--json", "-"];
    arguments.extend(more);
    let run = towline(&arguments);
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

fn bottleneck(table: &Value) -> &str {
    table["columns"][0]["verdict"]["bottleneck"].as_str().unwrap()
}

#[test]
fn four_columns_with_the_articles_beside_ours() {
    let page = TempFile::new("");
    let table = table("1s", &["--scale", "0.002", "--html", page.name()]);
    let columns = table["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 4);
    for (column, connections) in columns.iter().zip([20, 20, 60, 60]) {
        let measured = &column["measured"];
        let context = format!("{}: {measured}", column["name"]);
        assert_eq!(measured["connections"]["established"], connections, "{context}");
        assert_eq!(measured["connections"]["closed_early"], 0, "{context}");
        assert_eq!(measured["verify"]["mismatched"], 0, "{context}");
        // Without optimisation a batch of hashes can take longer than this test.
        if column["number"] != 4 {
            for figure in ["received_mib", "mbps_down", "lines_per_second"] {
                assert!(measured["whole"][figure].as_f64().unwrap() > 0.0, "{figure} {context}");
            }
            assert!(measured["verify"]["checked"].as_u64().unwrap() > 0, "{context}");
        }
        assert!(measured["whole"]["sent_mib"].as_f64().unwrap() > 0.0, "{context}");
        let waits = [&measured["whole"]["read_wait_share"], &measured["whole"]["write_wait_share"]];
        let share: f64 = waits.iter().map(|w| w.as_f64().unwrap()).sum();
        assert!((0.0..=1.001).contains(&share), "{context}");
        assert!(!column["verdict"]["sentence"].as_str().unwrap().is_empty());
    }
    assert_eq!(columns[1]["article"]["sent_mib"], 1369.1);
    assert!(table["host"]["cores"].as_u64().unwrap() > 0);
    let page = fs::read_to_string(page.name()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("1369.1 MiB"));
}

#[test]
fn a_short_backlog_is_named() {
    // Five connections are taken, nine wait in the kernel's queue, and it overflows.
    let flags = [
        "--column=1",
        "--scale=0.005",
        "--connect-timeout=1500ms",
        "--server-flag=--max-connections=5",
        "--server-flag=--backlog=8",
    ];
    let table = table("500ms", &flags);
    assert_eq!(bottleneck(&table), "accept-queue", "{}", table["columns"][0]);
    assert!(table["columns"][0]["measured"]["kernel"]["listen_overflows"].as_u64().unwrap() > 0);
}

#[test]
fn peers_that_never_read_are_named() {
    let table = table("2s", &["--column=2", "--scale=0.002", "--persona=never-read"]);
    assert_eq!(bottleneck(&table), "peer-not-reading", "{}", table["columns"][0]);
}

#[test]
fn too_few_descriptors_are_named() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 150; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_towline")])
        .args([
            "bench",
            "article",
            "--column=1",
            "--scale=0.02",
            "--processes=1",
            "-q",
            "--json",
            "-",
        ])
        .output()
        .unwrap();
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bottleneck(&table), "descriptors", "{}", table["columns"][0]);
    assert_eq!(output.status.code(), Some(1), "a column was not measured");
    assert!(table["columns"][0]["measured"].is_null());
}

#[test]
fn where_descriptors_are_few_more_processes_share_the_connections() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 150; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_towline")])
        .args([
            "bench",
            "article",
            "--column=1",
            "--scale=0.02",
            "-T",
            "300ms",
            "-q",
            "--json",
            "-",
        ])
        .output()
        .unwrap();
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    let measured = &table["columns"][0]["measured"];
    assert_eq!(measured["connections"]["established"], 200, "{}", table["columns"][0]);
    assert!(measured["server"]["processes"].as_u64().unwrap() > 1);
    assert!(measured["generator"]["processes"].as_u64().unwrap() > 1);
}

#[test]
fn one_core_for_server_and_generator_is_named() {
    let table = std::thread::spawn(|| {
        let allowed = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
        let mut one = CpuSet::new();
        one.set(first);
        // This thread's, and so the child's.
        sched_setaffinity(None, &one).unwrap();
        table("2s", &["--column=1", "--scale=0.01"])
    })
    .join()
    .unwrap();
    let found = bottleneck(&table);
    // On a host that others use as well, they are what is short of CPU.
    assert!(["shared-cpu", "host-cpu"].contains(&found), "{}", table["columns"][0]["verdict"]);
    assert_eq!(table["host"]["cores"], 1);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    assert!(refusal(&["bench", "article", "--scale", "0"]).contains("not a scale"));
    assert!(refusal(&["bench", "article", "--column", "5"]).contains('5'));
    assert!(refusal(&["bench", "article", "--json", "/nowhere/x"]).contains("/nowhere/x"));
}
