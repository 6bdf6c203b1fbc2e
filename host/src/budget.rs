//! What connections, shards and processes take of what the host allows.

use crate::available_memory;

/// Most processes that one server is spread over, and that `server.processes` accepts.
pub const PROCESSES_MAX: u64 = 1024;

/// Most listening sockets that one server binds to one port.
pub const LISTEN_SOCKETS_MAX: usize = 64;

/// Memory of a connection, the kernel's part included: measured 3.8 KiB of kernel memory on the
/// server's side and 1 KiB of its own.
pub(crate) const BYTES_PER_CONNECTION: u64 = 5 * 1024;

/// Descriptors of a process that are not for connections: listener, admin connections, log, reserve.
const DESCRIPTORS_PER_PROCESS: u64 = 64;

/// Descriptors that each shard needs for itself: those of its event loop, and the timer that probes its
/// scheduling delay.
const DESCRIPTORS_PER_SHARD: u64 = 5;

/// Memory for the buffers of connections where the memory of the host is unknown: 4,096 full blocks.
const BUFFER_BYTES_UNKNOWN: u64 = 256 * 1024 * 1024;

/// Least memory for the buffers of connections that `auto` gives, however full the host is.
const BUFFER_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// Connections that one process with `shards` shards can have open under a descriptor limit.
pub fn max_connections(descriptors: u64, shards: usize) -> u64 {
    descriptors.saturating_sub(descriptors_reserved(shards))
}

/// Descriptors that one process with `shards` shards needs beside those of its connections.
pub fn descriptors_reserved(shards: usize) -> u64 {
    DESCRIPTORS_PER_PROCESS + DESCRIPTORS_PER_SHARD * shards as u64
}

/// Bytes for the buffers of all connections: `configured`, or a quarter of the available memory.
///
/// The kernel's buffers of the same connections take about as much, and half is left for all else.
pub fn buffer_limit(configured: Option<usize>) -> u64 {
    match configured {
        Some(bytes) => bytes as u64,
        None => {
            let quarter = available_memory().map(|bytes| bytes / 4);
            quarter.unwrap_or(BUFFER_BYTES_UNKNOWN).max(BUFFER_BYTES_MIN)
        }
    }
}
