//! Memory that is left for this process.

use std::{fs, path::Path};

use crate::Cgroup;

/// Bytes that the host and the control groups of this process still have to give: `MemAvailable` of
/// proc_meminfo(5), or less where a control group allows less. `None` where `/proc` cannot be read.
pub fn available_memory() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let host = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    })? * 1024;
    let group = Cgroup::read(Path::new("/")).memory.map(|memory| memory.left());
    Some(group.map_or(host, |group| group.min(host)))
}
