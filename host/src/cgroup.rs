//! What the control group allows, version 1 or 2. A limit may stand at any level above the process.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Version 1 says "no limit" with the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

/// What the control group allows; absent is unlimited or unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cgroup {
    /// Memory, socket buffers and kernel objects included.
    pub memory: Option<CgroupMemory>,
    /// Threads that may still be started.
    pub tasks_left: Option<u64>,
    /// Time on the processors.
    pub cpu: Option<CgroupCpu>,
}

/// The memory limit that is nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupMemory {
    /// The limit, in bytes.
    pub limit: u64,
    /// Bytes in use that would not be given back under pressure.
    pub used: u64,
}

impl CgroupMemory {
    /// Bytes that are left.
    pub const fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// The tightest quota of processor time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CgroupCpu {
    /// Cores' worth of it.
    pub cores: f64,
    /// Periods in which the group had to stop.
    pub throttled: u64,
}

impl Cgroup {
    /// Reads the limits of the control groups of this process from the file system at `root`, which is
    /// `/` but in tests.
    pub fn read(root: &Path) -> Self {
        let Some(own) = fs::read_to_string(root.join("proc/self/cgroup")).ok() else {
            return Self::default();
        };
        let levels = |controller: &str| Levels::find(root, &own, controller);
        Self {
            memory: levels("memory").and_then(|levels| levels.memory()),
            tasks_left: levels("pids").and_then(|levels| levels.tasks_left()),
            cpu: levels("cpu").and_then(|levels| levels.cpu()),
        }
    }
}

/// The directories of a controller, from the process's own up to the root.
struct Levels {
    directories: Vec<PathBuf>,
    first_version: bool,
}

impl Levels {
    fn find(root: &Path, own: &str, controller: &str) -> Option<Self> {
        // N:controllers:path, with no controllers in version 2.
        let lines = own.lines().filter_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            Some((controllers, path.trim_start_matches('/')))
        });
        let first = lines.clone().find(|(all, _)| all.split(',').any(|one| one == controller));
        let mounts = root.join("sys/fs/cgroup");
        let (mount, path) = match first {
            Some((_, path)) => (mounts.join(controller), path),
            None => {
                let (_, path) = lines.clone().find(|(all, _)| all.is_empty())?;
                let beside = mounts.join("unified");
                (if beside.is_dir() { beside } else { mounts }, path)
            }
        };
        // In a container the path may be one of the host's, of which only the end is mounted: levels
        // that aren't there say nothing, and the mount itself is the last.
        let below = mount.join(path);
        let directories =
            below.ancestors().take_while(|at| at.starts_with(&mount)).map(Path::to_owned);
        Some(Self { directories: directories.collect(), first_version: first.is_some() })
    }

    fn memory(&self) -> Option<CgroupMemory> {
        let (limit, usage, cache) = if self.first_version {
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        } else {
            ("memory.max", "memory.current", "inactive_file")
        };
        let at = |level: &PathBuf| {
            let limit = number(level, limit).filter(|limit| *limit < UNLIMITED)?;
            let idle = field(level, "memory.stat", cache).unwrap_or(0);
            let used = number(level, usage).unwrap_or(0).saturating_sub(idle);
            Some(CgroupMemory { limit, used })
        };
        self.directories.iter().filter_map(at).min_by_key(CgroupMemory::left)
    }

    fn tasks_left(&self) -> Option<u64> {
        let at = |level: &PathBuf| {
            let used = number(level, "pids.current").unwrap_or(0);
            Some(number(level, "pids.max")?.saturating_sub(used))
        };
        self.directories.iter().filter_map(at).min()
    }

    fn cpu(&self) -> Option<CgroupCpu> {
        let at = |level: &PathBuf| {
            let (quota, period) = if self.first_version {
                (number(level, "cpu.cfs_quota_us")?, number(level, "cpu.cfs_period_us")?)
            } else {
                let text = fs::read_to_string(level.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            };
            let throttled = field(level, "cpu.stat", "nr_throttled").unwrap_or(0);
            (period > 0).then(|| CgroupCpu { cores: quota as f64 / period as f64, throttled })
        };
        self.directories.iter().filter_map(at).min_by(|a, b| a.cores.total_cmp(&b.cores))
    }
}

/// A file that holds one number; none when it says `max` or -1.
fn number(level: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(level.join(file)).ok()?.trim().parse().ok()
}

/// A file of `name number` lines.
fn field(level: &Path, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(level.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
