//! Who runs first, where all have to share the cores.
//!
//! Attackers and polite peers have machines of their own; here they have the server's. An attacker
//! must not win against the polite what it does not win against the server, and a polite peer that
//! waits for a core would count its own waiting as the server's. So the polite run before everybody,
//! and the attackers when nobody else would.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rustix::{process::nice, thread::gettid};

/// The lowest priority there is beside that of the idle class.
const NICE: i32 = 19;

/// A command that runs when nobody else would: by Linux's class for that, which nobody has to wait for.
pub(crate) fn last(program: &Path) -> Command {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(program);
    command
}

/// The same for the thread that asks; as good as that where there is no chrt(1).
pub(crate) fn be_last() {
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

/// A command that runs before everybody else, if we may say so: in a class of its own, that of real
/// time. A thread of the usual class is not preempted for a niced one before its slice is over, a
/// millisecond or more, which would be counted as the server's.
pub(crate) fn first(program: &Path) -> Command {
    const REAL_TIME: [&str; 2] = ["--fifo", "1"];
    let allowed = Command::new("chrt").args(REAL_TIME).arg("true").stderr(Stdio::null()).status();
    if allowed.is_ok_and(|status| status.success()) {
        let mut command = Command::new("chrt");
        command.args(REAL_TIME).arg(program);
        return command;
    }
    // nice(1) warns and goes on where it may not.
    let mut command = Command::new("nice");
    command.args(["-n", "-20"]).arg(program);
    command
}
