//! A server whose wall clock jumps, as after a change by an administrator or a time server. The jumps are
//! made by libfaketime, because a test must not set the host's clock.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{process::Command, thread, time::Duration};

use rustix::process::Signal;
use towline_test_support::{ServerProcess, TempFile, can};

/// Its path on Debian; the loader expands `$LIB`.
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// Starts a server whose wall clock is off by the offset in a file, which is read at every clock read, and
/// whose monotonic clock is the host's. `None` without libfaketime, outside CI.
fn start(offset: &TempFile, arguments: &[&str]) -> Option<ServerProcess> {
    // The loader ignores a library that does not exist.
    if !can(&format!("test \"$(LD_PRELOAD='{LIBRARY}' FAKETIME=-20000d date +%Y)\" -lt 2000")) {
        return None;
    }
    let mut command = Command::new("env");
    command.args([
        &format!("LD_PRELOAD={LIBRARY}"),
        &format!("FAKETIME_TIMESTAMP_FILE={}", offset.name()),
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ]);
    Some(ServerProcess::start_by(&mut command, arguments))
}

/// Minutes since midnight in the timestamp of a log line, `2026-11-25T22:44:09.548703Z`.
fn minutes(line: &str) -> i32 {
    let digits = |at: std::ops::Range<usize>| line[at].parse::<i32>().unwrap();
    60 * digits(11..13) + digits(14..16)
}

/// All deadlines are shorter than the jumps; all but the line deadline are longer than the test.
#[test]
fn fault_25_a_jump_of_the_wall_clock_moves_the_timestamps_of_the_log_and_no_deadline() {
    let offset = TempFile::new("+0h");
    let arguments = [
        ["--threads", "1"],
        ["--log-level", "trace"],
        ["--line-deadline", "2s"],
        ["--idle-timeout", "30m"],
        ["--request-timeout", "30m"],
        ["--write-timeout", "30m"],
        ["--heartbeat", "30m"],
    ];
    let Some(server) = start(&offset, arguments.as_flattened()) else { return };
    let mut peers: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for jump in ["+0h", "+5h", "-5h"] {
        for peer in &mut peers {
            peer.ask("before\n", "before\n");
        }
        let mut late = server.connect();
        late.ask("whole\nhalf", "whole\n");
        offset.write(jump);
        // A forward jump would expire every deadline within this second.
        thread::sleep(Duration::from_secs(1));
        assert!(peers.iter_mut().all(|peer| peer.ended().is_none()), "{jump}");
        // A backward jump would move this deadline hours away.
        late.expect_end("");
        for peer in &mut peers {
            peer.ask("after\n", "after\n");
        }
    }
    let closed =
        |reason| server.metric(&format!("towline_connections_closed_total{{reason=\"{reason}\"}}"));
    assert_eq!((closed("read_timeout"), closed("idle_timeout")), (3.0, 0.0));
    drop(peers);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0);

    // The jumps took place: these lines were logged after each.
    let lates = run.stderr.lines().filter(|line| {
        line.contains("connection closed") && line.contains("reason=\"read_timeout\"")
    });
    let stamps: Vec<_> = lates.map(minutes).collect();
    let [calm, forward, back] = stamps[..] else { panic!("{stamps:?}: {}", run.stderr) };
    let hours_on = |from: i32, to: i32| ((to - from).rem_euclid(24 * 60)) / 60;
    assert_eq!((hours_on(calm, forward), hours_on(calm, back)), (5, 19), "{stamps:?}");
}
