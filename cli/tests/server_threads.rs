//! A server whose control group allows it no further thread or process.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use towline_test_support::{ControlGroup, Run, ServerProcess, TempFile};

const THREADS: [&str; 2] = ["pids.max"; 2];

const RELOADED: &str = "towline_config_reloads_total{result=\"ok\"}";

/// Each reload loaded the settings on a thread that was started for it. Where none could be started,
/// SIGHUP made the main thread panic, and every connection was cut: in one process and in several.
#[test]
fn fault_29_sighup_reloads_and_cuts_nothing_where_no_thread_can_be_started() {
    for processes in ["1", "2"] {
        let Some(group) = ControlGroup::with_limit(THREADS, "max") else { return };
        let file = TempFile::new("");
        let flags = ["--processes", processes, "--threads", "1", "--config", file.name()];
        let server = group.start(&flags);
        let mut open = server.connect_many(4);
        group.limit(THREADS, 0).unwrap();
        for limit in 1..=3_u8 {
            file.write(format!("[limits]\nconcurrency = {limit}\n"));
            server.signal(Signal::HUP);
            server.metric_when(RELOADED, |reloads| reloads >= f64::from(limit));
            open.iter_mut().for_each(|client| client.ask("still\n", "still\n"));
        }
        drop(open);
        assert_drains(server);
    }
}

#[track_caller]
fn assert_drains(server: ServerProcess) {
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.stderr.contains("panic"), "{run:?}");
}

/// A runtime whose thread could not be started was dropped inside another one, which panics: a server of
/// several processes ended with the text of a panic and exit code 101.
#[test]
fn a_server_that_gets_too_few_threads_at_start_says_so_in_a_sentence_and_exits_with_1() {
    for processes in ["1", "2"] {
        let refused = (1..100).find(|&threads| {
            let Some(group) = ControlGroup::with_limit(THREADS, threads) else { return true };
            let flags =
                ["serve", "--processes", processes, "--threads", "2", "--log-level", "error"];
            let Some(run) = refused(&group, &flags) else { return true };
            assert_eq!(run.code, 1, "{threads} threads: {run:?}");
            let (said, log): (Vec<_>, Vec<_>) =
                run.stderr.lines().partition(|line| line.starts_with("towline: "));
            assert_eq!(said.len(), 1, "{threads} threads: {run:?}");
            assert!(said[0].ends_with("(os error 11)"), "{threads} threads: {run:?}");
            // A worker's own reason, in its log.
            assert!(log.iter().all(|line| line.contains(" ERROR towline::worker")), "{run:?}");
            false
        });
        assert!(refused.is_some(), "a hundred threads are not enough");
    }
}

/// Starts a server in the group. Returns its end if it does not start, and ends it if it does.
#[track_caller]
fn refused(group: &ControlGroup, flags: &[&str]) -> Option<Run> {
    let mut server = group
        .command()
        .args(flags)
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announcement = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut announcement).unwrap();
    if !announcement.is_empty() {
        kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    }
    let run: Run = server.wait_with_output().unwrap().into();
    announcement.is_empty().then_some(run)
}
