//! What a connection costs in memory. Measured (docs/BENCHMARKS.md, "Capacity"); a change of the
//! server or the generator that moves them is a change here.

/// Of the server's process, for an idle connection with heartbeat, deadlines and books: 814 to 830
/// bytes measured at 10,000 and 100,000 connections.
pub(super) const SERVER_PROCESS: u64 = 830;

/// Of the load generator's process, for a connection that paces and verifies.
pub(super) const GENERATOR_PROCESS: u64 = 600;

/// Of a proxy that moves bytes with two buffers of 16 KiB and a little state, HAProxy's defaults.
pub(super) const PROXY_PROCESS: u64 = 34 * 1024;

/// Of the kernel, for one end of an idle connection: socket, inode, dentry, file and poll entry.
/// Half of the 7.6 KB of slab that both ends of a loopback connection took at 1,000,000.
pub(super) const KERNEL_END: u64 = 3_800;

/// Of a process that serves before its first connection: program, threads, runtime.
pub(super) const PROCESS_BASE: u64 = 8 << 20;

/// What a direction of a connection on which bytes move may hold in the kernel when
/// `socket.notsent_lowat` says nothing: the first step of the kernel's own tuning.
pub(super) const ACTIVE_DIRECTION: u64 = 16 * 1024;

/// Headroom over what is computed, in percent: estimates are means, and peers are not.
pub(super) const MEMORY_HEADROOM: u64 = 130;
