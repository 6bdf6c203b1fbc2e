//! CPU, memory and descriptors of this process, for the `process_*` metrics of all Prometheus clients.

use std::fs;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use towline_host::ProcFile;

use crate::counts::Snapshot;

/// Reads what this process uses; 0 where the kernel does not provide a number.
#[derive(Debug)]
pub struct ProcessUsage {
    stat: ProcFile,
    boot_time_seconds: f64,
}

impl Default for ProcessUsage {
    fn default() -> Self {
        Self {
            stat: ProcFile::open("/proc/self/stat"),
            boot_time_seconds: boot_time().unwrap_or(0.0),
        }
    }
}

impl ProcessUsage {
    /// Adds this process's CPU time, memory and descriptors to `snapshot`.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let stat = Stat(self.stat.text());
        let busy_ticks = stat.field(14) + stat.field(15);
        snapshot.counted.cpu_nanos += busy_ticks * (1_000_000_000 / ticks_per_second());
        let held = &mut snapshot.held;
        held.virtual_bytes += stat.field(23);
        held.resident_bytes += stat.field(24) * page_size() as u64;
        held.open_descriptors += open_descriptors();
        held.max_descriptors += getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    }

    /// When this process started, in seconds since 1970.
    pub(super) fn start_time_seconds(&self) -> f64 {
        let since_boot = Stat(self.stat.text()).field(22) as f64 / ticks_per_second() as f64;
        self.boot_time_seconds + since_boot
    }
}

/// The one line of `/proc/self/stat`.
struct Stat(String);

impl Stat {
    /// A field by its number in proc_pid_stat(5).
    fn field(&self, number: usize) -> u64 {
        // The name in parentheses may contain anything; field 3 follows it.
        let fields = self.0.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = fields.split_whitespace().nth(number - 3);
        field.and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn ticks_per_second() -> u64 {
    clock_ticks_per_second().max(1)
}

/// The number of open descriptors. Since Linux 6.2 it is the size of their directory; older kernels say
/// 0 there, and then the directory is listed.
fn open_descriptors() -> u64 {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY) {
        Ok(directory) if directory.len() > 0 => directory.len(),
        _ => fs::read_dir(DIRECTORY).map_or(0, |entries| entries.count() as u64),
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}
