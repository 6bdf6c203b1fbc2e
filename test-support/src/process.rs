use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

/// Sends a signal to a process.
#[track_caller]
pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Stops a process with SIGSTOP, and waits until every thread of it stands still.
#[track_caller]
pub fn stop(pid: i32) {
    signal(pid, Signal::STOP);
    wait_until("a stopped process", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let stats = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")));
        stats.into_iter().all(|stat| stat.unwrap().contains(") T "))
    });
}

/// Whether a process has ended, waited for by its parent or not yet.
pub fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

/// A counter of the kernel's TCP (`TcpExt` of `/proc/net/netstat`), in the network of this thread.
pub fn kernel_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|known| known == name).unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}
