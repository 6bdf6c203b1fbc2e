//! The worker processes of a server, from `/proc` and ss(8).

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    net::SocketAddr,
    process::Command,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::TIMEOUT;
use crate::{Error, child::children, clock, observed_server::ObservedServer};

/// Waits until all workers run, and lists them by process id and start time.
pub(super) fn wait_for_workers(
    server: &ObservedServer,
    workers: usize,
) -> Result<Vec<(u32, u64)>, Error> {
    let began = clock::now();
    loop {
        let all = children(server.pid()).into_iter();
        let alive: Vec<_> = all.filter_map(|pid| Some((pid, start_time(pid)?))).collect();
        if alive.len() == workers {
            return Ok(alive);
        }
        if clock::now().saturating_sub(began) > TIMEOUT {
            return Err(format!("{} of {workers} workers after {TIMEOUT:?}", alive.len()).into());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The client addresses of all connections that a process has.
pub(super) fn connections(pid: u32, addr: SocketAddr) -> Result<HashSet<SocketAddr>, Error> {
    let mut inodes = HashSet::new();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(file) = fs::read_link(descriptor.path()) else { continue };
        let file = file.to_string_lossy().into_owned();
        inodes.extend(
            file.strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'))
                .map(str::to_owned),
        );
    }
    let filter = format!("sport = :{}", addr.port());
    let output = Command::new("ss").args(["-tneH", &filter]).output()?;
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(all.lines().filter_map(|row| client(row, &inodes)).collect())
}

/// The client address in a row of ss(8), if the socket is among `inodes`.
fn client(row: &str, inodes: &HashSet<String>) -> Option<SocketAddr> {
    let inode = row.split_whitespace().find_map(|field| field.strip_prefix("ino:"))?;
    inodes.contains(inode).then(|| row.split_whitespace().nth(4)?.parse().ok())?
}

/// Stops the server; returns how many of the processes it ever had still run.
pub(super) fn orphans(
    server: ObservedServer,
    processes: &BTreeSet<(u32, u64)>,
) -> Result<usize, Error> {
    server.stop(TIMEOUT)?;
    Ok(processes.iter().filter(|(pid, started)| start_time(*pid) == Some(*started)).count())
}

/// The start time of a process, which distinguishes it from a later one with the same id; `None` once it
/// has ended, also as a zombie.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: the fields are counted from its end.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let is_zombie = fields.next() == Some("Z");
    fields.nth(18).filter(|_| !is_zombie)?.parse().ok()
}

pub(super) fn signal(pid: u32, signal: Signal) -> Result<(), Error> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("not a process id")?;
    Ok(kill_process(pid, signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "ESTAB 0 0 127.0.0.1:9000 127.0.90.1:40001 ino:77 sk:1001 cgroup:/ <->";

    #[test]
    fn a_process_is_identified_by_its_start_time() {
        let ours = std::process::id();
        assert!(
            start_time(ours)
                .is_some_and(|started| start_time(1).is_none_or(|first| first <= started))
        );
        assert_eq!(start_time(u32::MAX), None);
    }

    #[test]
    fn the_clients_of_a_process_are_found_by_its_sockets() {
        let inodes = |one: &str| HashSet::from([one.to_owned()]);
        assert_eq!(client(ROW, &inodes("77")), "127.0.90.1:40001".parse().ok());
        assert_eq!(client(ROW, &inodes("78")), None);
    }
}
