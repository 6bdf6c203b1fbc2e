//! `towline bench article` as a process: the table at a small scale, and bottlenecks that it must name.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fs;
use std::process::Command;
use std::sync::RwLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use towline_test_support::{TempFile, refusal, towline};

/// The kernel counts queue overflows of all programs together: the test that provokes them holds this
/// for itself, those that read a bottleneck share it.
static ACCEPT_QUEUES: RwLock<()> = RwLock::new(());

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
fn every_column_stands_beside_the_articles() {
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
fn a_short_backlog_is_the_bottleneck() {
    let _alone = ACCEPT_QUEUES.write().unwrap();
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
fn clients_that_never_read_are_the_bottleneck() {
    let _shared = ACCEPT_QUEUES.read().unwrap();
    let table = table("2s", &["--column=2", "--scale=0.002", "--persona=never-read"]);
    assert_eq!(bottleneck(&table), "peer-not-reading", "{}", table["columns"][0]);
}

#[test]
fn too_few_descriptors_are_the_bottleneck() {
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
fn one_core_for_server_and_generator_is_the_bottleneck() {
    let _shared = ACCEPT_QUEUES.read().unwrap();
    let table = std::thread::spawn(|| {
        let allowed = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
        let mut one = CpuSet::new();
        one.set(first);
        // Pins this thread, and so the child that it starts.
        sched_setaffinity(None, &one).unwrap();
        table("2s", &["--column=1", "--scale=0.01"])
    })
    .join()
    .unwrap();
    let found = bottleneck(&table);
    // Where other processes run too, those may be the bottleneck.
    assert!(["shared-cpu", "host-cpu"].contains(&found), "{}", table["columns"][0]["verdict"]);
    assert_eq!(table["host"]["cores"], 1);
}

#[test]
fn the_text_fits_eighty_columns_and_compares_with_the_article() {
    let run = towline(&["bench", "article", "-T", "300ms", "-q", "--scale=0.002", "--column=1"]);
    let too_long = run.stdout.lines().find(|line| line.chars().count() > 80);
    assert_eq!((run.code, too_long), (0, None), "{run:?}");
    let text = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["20, unbuffered", "× the article in bandwidth", "20 connections instead of 10,000"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn bench_alone_prints_its_help_and_a_sentence() {
    let run = towline(&["bench"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("article") && run.stderr.contains("capacity"), "{run:?}");
    let last = run.stderr.lines().last().unwrap();
    assert_eq!(last, "towline: bench needs a command: article or capacity");
}

#[test]
fn flags_out_of_bounds_are_refused() {
    assert!(refusal(&["bench", "article", "--scale", "0"]).contains("not a scale"));
    assert!(refusal(&["bench", "article", "--column", "5"]).contains('5'));
    assert!(refusal(&["bench", "article", "--json", "/nowhere/x"]).contains("/nowhere/x"));
}
