//! What processes have used so far, from `/proc`.

use std::fs;

/// The resources used by a group of processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// User and system time, in seconds.
    pub(super) cpu: f64,
    /// Time their threads were ready to run but waited for a CPU, in seconds.
    pub(super) queued: f64,
    /// Resident bytes, without the pages of files: the program's text is shared by its processes.
    pub(super) resident: f64,
}

impl Usage {
    /// The sum over `processes`; one that has ended counts as zero.
    pub(super) fn of(processes: &[u32]) -> Self {
        let mut usage = Self::default();
        for &pid in processes {
            usage.cpu += cpu_seconds(pid).unwrap_or_default();
            usage.queued += queued_seconds(pid);
            usage.resident += private_bytes(pid).unwrap_or_default();
        }
        usage
    }
}

/// The child processes of a process, whichever of its threads started them.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: count the fields after its end.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn queued_seconds(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    waited.sum::<u64>() as f64 / 1e9
}

fn private_bytes(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(kib(&status, "VmRSS:")? - kib(&status, "RssFile:")?)
}

/// The value in bytes of a row such as `MemTotal:  16 kB`, as several files of `/proc` have them.
pub(super) fn kib(text: &str, name: &str) -> Option<f64> {
    let row = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(row.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_something() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).is_some());
        assert!(Usage::of(&[pid]).resident > 100_000.0);
        assert_eq!(Usage::of(&[u32::MAX]).resident, 0.0);
    }

    #[test]
    fn rows_are_found_by_their_whole_name() {
        let text = "SlabX:  1 kB\nSlab:  16 kB\nHugePages: 3\n";
        assert_eq!(kib(text, "Slab:"), Some(16_384.0));
        assert_eq!(kib(text, "HugePages:"), None);
    }
}
