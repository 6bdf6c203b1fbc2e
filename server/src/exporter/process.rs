//! CPU, memory and descriptors of this process, for the `process_*` metrics of all Prometheus clients.

use std::fs;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use towline_host::ProcFile;

use super::family::{Values, gauge, seconds};
use crate::counts::{Counters, Gauges, Snapshot};

/// Reads what this process uses; 0 where the kernel does not provide a number.
#[derive(Debug)]
pub struct ProcessUsage {
    stat: ProcFile,
    /// Resident memory when this was made, as the server began to accept connections.
    resident_base_bytes: u64,
    boot_time_seconds: f64,
}

impl Default for ProcessUsage {
    fn default() -> Self {
        let stat = ProcFile::open("/proc/self/stat");
        Self {
            resident_base_bytes: Stat(stat.text()).resident_bytes(),
            stat,
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
        held.resident_bytes += stat.resident_bytes();
        held.resident_base_bytes += self.resident_base_bytes;
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
    fn resident_bytes(&self) -> u64 {
        self.field(24) * page_size() as u64
    }

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

/// Adds the metrics of all processes together.
pub(super) fn add_families(
    counted: &Counters,
    held: &Gauges,
    start_time_seconds: f64,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    add("process_cpu_seconds_total", "User and system CPU time used.", seconds(counted.cpu_nanos));
    add(
        "process_resident_memory_bytes",
        "Resident memory size.",
        gauge(held.resident_bytes as f64),
    );
    add(
        "towline_resident_base_bytes",
        "Resident memory when the server began to accept connections: the part of \
         process_resident_memory_bytes that is not for connections.",
        gauge(held.resident_base_bytes as f64),
    );
    add("process_virtual_memory_bytes", "Virtual memory size.", gauge(held.virtual_bytes as f64));
    add("process_open_fds", "Open file descriptors.", gauge(held.open_descriptors as f64));
    add(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        gauge(held.max_descriptors as f64),
    );
    add(
        "process_start_time_seconds",
        "Start time of the process, in seconds since 1970.",
        gauge(start_time_seconds),
    );
}
