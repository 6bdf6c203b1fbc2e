//! Figures of the kernel: memory and CPU time of processes, and the counters that void a round.

use std::{fs, path::PathBuf, time::Duration};

use crate::Error;

/// Resident bytes of a process. `smaps_rollup` is exact; `status` lags by some pages per core.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Error> {
    let exact = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    let (text, field) = match exact {
        Ok(text) => (text, "Rss:"),
        Err(_) => (fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:"),
    };
    kibibytes(&text, field).ok_or_else(|| format!("no {field} line for process {pid}").into())
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(field))?;
    let number: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1024)
}

/// Time that the threads of a process waited for a core since they started. The cores of server and
/// load should be theirs alone: this shows when they were not.
pub(crate) fn core_wait(pid: u32) -> Duration {
    schedstats(pid).filter_map(|text| nanos(&text, 1)).sum()
}

/// CPU time of the threads of a process since they started.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    schedstats(pid).filter_map(|text| nanos(&text, 0)).sum()
}

/// CPU time of a process since it started, that of threads that have ended too; in steps of a tick, in most
/// cases 10 ms.
pub(crate) fn process_cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks = user_and_system(&stat).unwrap_or_default();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of the 14th and 15th fields, counted from behind the name, which may contain spaces.
fn user_and_system(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

/// CPU time of the threads whose names satisfy `named`.
pub(crate) fn cpu_time_of(pid: u32, named: impl Fn(&str) -> bool) -> Duration {
    let tasks = tasks(pid).filter(|task| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| named(name.trim_end()))
    });
    let schedstats = tasks.filter_map(|task| fs::read_to_string(task.join("schedstat")).ok());
    schedstats.filter_map(|text| nanos(&text, 0)).sum()
}

fn schedstats(pid: u32) -> impl Iterator<Item = String> {
    tasks(pid).filter_map(|task| fs::read_to_string(task.join("schedstat")).ok())
}

fn tasks(pid: u32) -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| task.path())
}

/// A field of `schedstat`: time on a core, time waiting for one, both in nanoseconds; time slices.
fn nanos(schedstat: &str, at: usize) -> Option<Duration> {
    schedstat.split_whitespace().nth(at)?.parse().ok().map(Duration::from_nanos)
}

/// One line about the host, for the head of a report.
pub(crate) fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!(
        "{} × {}, kernel {}, congestion control {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.map_or("CPU", |(_, name)| name),
        read("/proc/sys/kernel/osrelease"),
        read("/proc/sys/net/ipv4/tcp_congestion_control"),
    )
}

/// Counters that must not change during a round: when one does, packets or connections were lost, and
/// the kernel was measured instead of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelCounters {
    values: Vec<(&'static str, u64)>,
}

const WATCHED: [&str; 3] = ["ListenOverflows", "ListenDrops", "TCPAbortOnMemory"];

impl KernelCounters {
    pub(crate) fn read() -> Self {
        let netstat = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
        let softnet = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        Self::parse(&netstat, &softnet)
    }

    fn parse(netstat: &str, softnet: &str) -> Self {
        let mut values: Vec<_> =
            WATCHED.iter().map(|&name| (name, tcp_ext(netstat, name).unwrap_or(0))).collect();
        values.push(("softnet drops", softnet_drops(softnet)));
        Self { values }
    }

    /// The counters that grew since `earlier`, as "name +n".
    pub(crate) fn moved_since(&self, earlier: &Self) -> Vec<String> {
        let pairs = self.values.iter().zip(&earlier.values);
        pairs
            .filter(|(now, then)| now.1 > then.1)
            .map(|(now, then)| format!("{} +{}", now.0, now.1 - then.1))
            .collect()
    }
}

/// The value of `name` in the pair of `TcpExt:` lines: names above, values below.
fn tcp_ext(netstat: &str, name: &str) -> Option<u64> {
    let mut rows = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (rows.next()?, rows.next()?);
    let at = names.split_whitespace().position(|column| column == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// The sum of the second column: one row per core, hexadecimal.
fn softnet_drops(softnet: &str) -> u64 {
    softnet
        .lines()
        .filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPAbortOnMemory\n\
                           TcpExt: 9 3 4 5\nIpExt: InNoRoutes\nIpExt: 7\n";

    #[test]
    fn counters_are_found_by_name_and_not_by_position() {
        let none = KernelCounters::parse(NETSTAT, "0000abcd 00000000 00000001\n");
        let some = KernelCounters::parse(
            &NETSTAT.replace("9 3 4 5", "9 3 6 5"),
            "0000abcd 0000000f 0\n0000abcd 00000001 0\n",
        );
        assert_eq!(none.moved_since(&none), Vec::<String>::new());
        assert_eq!(some.moved_since(&none), ["ListenDrops +2", "softnet drops +16"]);
    }

    #[test]
    fn a_missing_counter_reads_as_zero() {
        let counters = KernelCounters::parse("", "");
        assert!(counters.values.iter().all(|(_, value)| *value == 0));
    }

    #[test]
    fn the_time_waiting_for_a_core_is_the_second_field() {
        assert_eq!(nanos("498202 2194931 3\n", 1), Some(Duration::from_nanos(2_194_931)));
        assert_eq!(nanos("", 1), None);
    }

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 4 0 99";
        assert_eq!(user_and_system(stat), Some(281));
        assert_eq!(user_and_system(""), None);
    }

    #[test]
    fn resident_memory_is_read_from_either_file() {
        let rollup =
            "55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss:                1234 kB\nPss: 9 kB\n";
        assert_eq!(kibibytes(rollup, "Rss:"), Some(1234 * 1024));
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t  88 kB\n", "VmRSS:"), Some(88 * 1024));
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), None);
    }
}
