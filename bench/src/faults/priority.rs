//! Scheduling classes, because clients, attackers and server share the cores.
//!
//! Real attackers and clients have machines of their own. Here an attacker could take a core from the
//! well-behaved clients, and a client that waits for a core would count its own wait as the server's. So
//! the well-behaved clients run before all others, and attackers only when nothing else does.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::{process::nice, thread::gettid};

/// The lowest priority outside of the idle class.
const NICE: i32 = 19;

/// A command in Linux's idle class: it runs only when nothing else does.
pub(crate) fn idle_command(program: &Path) -> Command {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(program);
    command
}

/// Moves the calling thread to the idle class; to the lowest priority where there is no chrt(1).
pub(crate) fn make_thread_idle() {
    let thread = gettid().as_raw_nonzero().to_string();
    let done = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        let _ = nice(NICE);
    }
}

/// A command in the real-time class where that is permitted, else with the highest priority. A thread of
/// the normal class is preempted for one with a higher priority only at the end of its slice, a
/// millisecond or more, which would count as the server's.
pub(crate) fn real_time_command(program: &Path) -> Command {
    const REAL_TIME: [&str; 2] = ["--fifo", "1"];
    let allowed = Command::new("chrt").args(REAL_TIME).arg("true").stderr(Stdio::null()).status();
    if allowed.is_ok_and(|status| status.success()) {
        let mut command = Command::new("chrt");
        command.args(REAL_TIME).arg(program);
        return command;
    }
    // Where it is not permitted, nice(1) warns and runs the command anyway.
    let mut command = Command::new("nice");
    command.args(["-n", "-20"]).arg(program);
    command
}
