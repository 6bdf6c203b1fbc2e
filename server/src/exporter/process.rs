//! The process's own share of the host, under the names every Prometheus client uses.

use std::fs;

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::ProcFile;

/// Zero where the kernel does not tell.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_nanos: u64,
    pub(super) resident_bytes: f64,
    pub(super) virtual_bytes: f64,
    pub(super) open_descriptors: f64,
    pub(super) max_descriptors: f64,
    pub(super) start_time_seconds: f64,
}

/// Where the kernel tells.
#[derive(Debug)]
pub(super) struct Source {
    stat: ProcFile,
    boot_time_seconds: f64,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            stat: ProcFile::open("/proc/self/stat"),
            boot_time_seconds: boot_time().unwrap_or(0.0),
        }
    }
}

impl Source {
    pub(super) fn read(&self) -> Process {
        let stat = self.stat.text();
        // The name in parentheses may hold anything; the numbers begin behind it, at field 3.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
        let ticks = clock_ticks_per_second().max(1);
        let busy_ticks = field(14).unwrap_or(0) + field(15).unwrap_or(0);
        let began = field(22).unwrap_or(0) as f64 / ticks as f64;
        Process {
            cpu_nanos: busy_ticks * (1_000_000_000 / ticks),
            virtual_bytes: field(23).unwrap_or(0) as f64,
            resident_bytes: field(24).unwrap_or(0) as f64 * page_size() as f64,
            open_descriptors: open_descriptors(),
            max_descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as f64,
            start_time_seconds: self.boot_time_seconds + began,
        }
    }
}

/// How many descriptors are open, without listing them: since Linux 6.2 the size of the directory
/// says it. Older kernels say 0 there, and then they are listed.
fn open_descriptors() -> f64 {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY) {
        Ok(directory) if directory.len() > 0 => directory.len() as f64,
        _ => fs::read_dir(DIRECTORY).map_or(0, Iterator::count) as f64,
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}
