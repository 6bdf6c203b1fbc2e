//! What a Linux host allows one process, read from its limits, its control groups and `/proc`.
//!
//! A leaf: it knows no setting, no socket of the server and no thread. The server asks it how many connections it
//! may accept, the doctor how the same number comes about.
//!
//! | module | reads |
//! |---|---|
//! | [`descriptors`] | the limit of open files (getrlimit(2)), and raises it on request |
//! | [`memory`] | memory that is left, on the host and in the control group |
//! | [`cgroup`] | limits of the control group, version 1 or 2 |
//! | [`proc_file`] | a file of `/proc` that is kept open and read again |
//! | [`sock_diag`] | TCP sockets as the kernel shows them: accept queues, connections and whose fault a wait is |
//! | [`budget`] | what of this a connection, a shard and a process take |

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

pub mod budget;
pub mod cgroup;
pub mod descriptors;
pub mod memory;
pub mod proc_file;
pub mod sock_diag;

use std::thread;

pub mod accounts;

pub use budget::{
    LISTEN_SOCKETS_MAX, PROCESSES_MAX, buffer_limit, descriptors_reserved, max_connections,
};
pub use cgroup::{Cgroup, CgroupCpu, CgroupMemory};
pub use descriptors::{descriptor_limit, raise_descriptor_limit};
pub use memory::available_memory;
pub use proc_file::ProcFile;
pub use sock_diag::{
    AcceptQueue, AcceptQueueReader, Dump, Include, Listed, SockDiag, TcpInfo, TcpSocket,
};

/// The limits that decide how many connections this host holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Cores that this process may run on; 1 where the kernel does not say.
    pub cores: usize,
    /// Descriptors that one process may have open.
    pub descriptors: u64,
    /// Connections for which memory is left; `u64::MAX` where it cannot be read.
    pub connections_by_memory: u64,
}

impl HostLimits {
    /// Reads the limits of this process as they are. Changes nothing: call
    /// [`raise_descriptor_limit`] first where the soft descriptor limit should count as raised.
    pub fn read() -> Self {
        Self {
            cores: thread::available_parallelism().map_or(1, Into::into),
            descriptors: descriptor_limit(),
            connections_by_memory: available_memory()
                .map_or(u64::MAX, |bytes| bytes / budget::BYTES_PER_CONNECTION),
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
