//! What the host allows, read from the process's limits and `/proc`.

use std::{fs, path::Path, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::doctor::Group;

/// Descriptors that are not for connections: listener, pollers, admin connections, log, spare ones.
const DESCRIPTORS_RESERVED: u64 = 64;

/// Descriptors a shard needs for itself: its poller, waker and timer.
const DESCRIPTORS_PER_SHARD: u64 = 4;

/// What a connection costs at least, kernel included: measured 3.8 KiB of kernel memory on the
/// server's side and 1 KiB of ours.
const BYTES_PER_CONNECTION: u64 = 5 * 1024;

/// Raises the soft descriptor limit to the hard one, as far as that goes, and returns it.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if soft < hard {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => return hard,
            Err(error) => tracing::warn!(soft, hard, %error, "descriptor limit not raised"),
        }
    }
    soft
}

/// How many connections this process can hold with `descriptors` and `shards`.
pub(crate) fn connections_possible(descriptors: u64, shards: usize) -> u64 {
    descriptors.saturating_sub(descriptors_aside(shards))
}

/// Descriptors a process with so many shards needs beside its connections.
pub(crate) fn descriptors_aside(shards: usize) -> u64 {
    DESCRIPTORS_RESERVED + DESCRIPTORS_PER_SHARD * shards as u64
}

/// What decides how many connections this host holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub(crate) cores: usize,
    /// The descriptor limit of a process.
    pub(crate) descriptors: u64,
    /// Connections that memory allows.
    pub(crate) by_memory: u64,
}

impl Host {
    /// This host, with the descriptor limit raised as far as it goes.
    pub(crate) fn here() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, Into::into),
            descriptors: raise_descriptor_limit(),
            by_memory: memory_available().map_or(u64::MAX, |bytes| bytes / BYTES_PER_CONNECTION),
        }
    }
}

/// The descriptors this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Where it cannot be told how much memory there is, enough for 4,096 full blocks.
const BUFFER_BYTES_UNKNOWN: u64 = 256 * 1024 * 1024;

/// The least that `auto` gives: a host so full has other troubles than buffers.
const BUFFER_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// The memory for buffers of connections: what was asked for, or a quarter of what is available. The
/// kernel's buffers of the same connections want about as much, and half is left for all else.
pub(crate) fn buffer_limit(asked: Option<usize>) -> u64 {
    match asked {
        Some(bytes) => bytes as u64,
        None => {
            let quarter = memory_available().map(|bytes| bytes / 4);
            quarter.unwrap_or(BUFFER_BYTES_UNKNOWN).max(BUFFER_BYTES_MIN)
        }
    }
}

/// Bytes the host, and the control groups this process is in, still have to give.
fn memory_available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let host = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    })? * 1024;
    let group = Group::read(Path::new("/")).memory.map(|memory| memory.left());
    Some(group.map_or(host, |group| group.min(host)))
}
