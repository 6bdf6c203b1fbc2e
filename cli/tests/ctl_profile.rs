//! `towline ctl profile`: what a running server spends its CPU time on.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fs, process::Command, thread};

use serde_json::Value;
use towline_test_support::{Run, ServerProcess, TempFile, can, refusal, towline};

const TOWLINE: &str = env!("CARGO_BIN_EXE_towline");

fn start(processes: &str) -> (ServerProcess, TempFile) {
    let socket = TempFile::absent();
    let flags = ["--processes", processes, "--threads", "1", "--admin-socket", socket.name()];
    (ServerProcess::start(&[], &flags), socket)
}

fn profile(socket: &TempFile, arguments: &[&str]) -> Run {
    let own = ["ctl", "--socket", socket.name(), "profile", "--seconds", "1"];
    towline(&[&own[..], arguments].concat())
}

#[test]
fn a_profile_has_the_threads_of_all_processes_with_the_kernels_part() {
    if !can("perf record -q -e cpu-clock -o /dev/null -- true") {
        return;
    }
    for processes in ["1", "2"] {
        let (server, socket) = start(processes);
        let (graph, stacks) = (TempFile::absent(), TempFile::absent());
        let (graph, stacks) =
            (format!("{}.svg", graph.name()), format!("{}.folded", stacks.name()));
        let lines = server.lines().to_string();
        thread::scope(|scope| {
            scope.spawn(|| towline(&["load", &lines, "-c", "20", "-T", "20s", "--quiet"]));
            server.metric_when("towline_lines_received_total", |lines| lines > 0.0);
            let run = profile(&socket, &["--json", "--output", &stacks]);
            assert_eq!(run.code, 0, "{run:?}");
            let answer: Value = serde_json::from_str(&run.stdout).unwrap();
            let sampled = answer["processes"].as_array().unwrap();
            assert_eq!(sampled[0], server.process().id());
            assert_eq!(sampled.len(), 1 + server.workers().len());
            assert!(answer["cpu_seconds"].as_f64().unwrap() > 0.0, "{answer}");
            let text = fs::read_to_string(&stacks).unwrap();
            // A thread, what it does in the program, and that in the kernel.
            let known = |line: &str| {
                line.starts_with("shard-0;") && line.contains(";towline") && line.contains("tcp_")
            };
            assert!(text.lines().any(known), "{text}");

            let run = profile(&socket, &["--output", &graph]);
            assert_eq!(run.code, 0, "{run:?}");
            assert!(run.stdout.starts_with(&format!("{graph}: ")), "{run:?}");
            let text = fs::read_to_string(&graph).unwrap();
            assert!(text.starts_with("<?xml") && text.contains("shard-0"), "{text}");
            drop(server);
        });
        fs::remove_file(graph).unwrap();
        fs::remove_file(stacks).unwrap();
    }
}

#[test]
fn what_keeps_a_profile_from_being_taken_is_said() {
    let (server, socket) = start("1");
    let ctl = |arguments: &[&str]| {
        let mut command = Command::new(TOWLINE);
        command.env_clear().env("PATH", "/nowhere");
        let own = ["ctl", "--socket", socket.name(), "profile", "--seconds", "1", "--output"];
        Run::of(command.args(own).args(arguments))
    };
    let unwritten = TempFile::absent();
    let run = ctl(&[unwritten.name()]);
    let sentence = "towline: a profile is taken by perf, which is not installed";
    assert!(run.code == 1 && run.stderr.starts_with(sentence), "{run:?}");
    assert!(!unwritten.path().exists(), "an empty file is left");
    let kept = TempFile::new("a profile");
    assert_eq!(ctl(&[kept.name()]).code, 1);
    assert_eq!(fs::read_to_string(kept.path()).unwrap(), "a profile");
    let run = ctl(&["/nowhere/profile.svg"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("/nowhere/profile.svg cannot be written: No such file"), "{run:?}");
    let admin = server.admin().to_string();
    let sentence = refusal(&["ctl", "--admin", &admin, "profile"]);
    assert!(sentence.contains("of a server on this host: give --socket PATH"), "{sentence}");
    assert!(refusal(&["ctl", "profile", "--seconds", "0"]).contains("0 is not in 1..=300"));
    if can("perf record -q -e cpu-clock -o /dev/null -- true") {
        let run = profile(&socket, &["--output", unwritten.name()]);
        let is_idle = run.stderr == "towline: the server used no CPU time in 1 s\n";
        // A timer may have run once.
        assert!(run.code == 0 || is_idle, "{run:?}");
    }
}
