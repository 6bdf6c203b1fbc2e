//! Signals whose default action is to end the process, and that mean nothing to a server.

use std::sync::{Arc, atomic::AtomicBool};

use rustix::process::Signal;
use signal_hook::flag;

/// Signals that the server ignores. Each would end it, and cut every connection.
///
/// - SIGXFSZ: the log is a file that has reached the limit of a file's size. Ignored, the write fails.
/// - SIGXCPU: the soft limit of CPU time is reached; the hard limit ends the process.
/// - SIGUSR1, SIGUSR2: other servers open their logs again, or dump statistics.
/// - SIGPWR: power is failing; what follows is a SIGTERM.
/// - SIGALRM, SIGVTALRM, SIGPROF, SIGIO: timers and notifications that another program left running
///   before it became this one with exec(2).
///
/// SIGPIPE is not in the list, because Rust ignores it before `main`. Faults (SIGSEGV, SIGABRT and their
/// kind), SIGTERM and the real-time signals keep their action.
const IGNORED: [Signal; 9] = [
    Signal::XFSZ,
    Signal::XCPU,
    Signal::USR1,
    Signal::USR2,
    Signal::POWER,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
];

/// Ignores what means nothing to a server, and SIGHUP until the server handles it.
pub(crate) fn ignore_for_server() {
    ignore(&IGNORED);
    ignore(&[Signal::HUP]);
}

/// Ignores in a worker also what a terminal sends to every process of its group: the supervisor answers
/// for all of them.
pub(crate) fn ignore_for_worker() {
    ignore_for_server();
    ignore(&[Signal::INT, Signal::QUIT]);
}

/// Ignores `signals`, except that code which handles one of them still does. By a handler that does
/// nothing of use: safe code cannot ask the kernel to ignore them.
fn ignore(signals: &[Signal]) {
    let received = Arc::<AtomicBool>::default();
    for signal in signals {
        // Fails only for signals that no process can handle.
        let _ = flag::register(signal.as_raw(), received.clone());
    }
}
