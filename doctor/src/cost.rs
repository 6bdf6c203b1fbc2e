//! Memory per connection and per process, as measured (docs/BENCHMARKS.md, "Capacity"). A change of
//! the server or the generator that moves these figures belongs here too.

/// Bytes of the server process per idle connection with heartbeat, deadlines and metrics: 814 to 830
/// measured at 10,000 and 100,000 connections.
pub(super) const SERVER_PROCESS: u64 = 830;

/// The same over TLS: 4,495 measured with 10,000 (`towline-bench tls --only idle`).
pub(super) const SERVER_PROCESS_TLS: u64 = 4_500;

/// Bytes of the load generator's process per connection that paces and verifies.
pub(super) const GENERATOR_PROCESS: u64 = 600;

/// The same over TLS: 8,570 measured with 6,000 idle ones.
pub(super) const GENERATOR_PROCESS_TLS: u64 = 8_600;

/// Bytes of a proxy process per connection: two buffers of 16 KiB and some state, as in HAProxy's
/// defaults.
pub(super) const PROXY_PROCESS: u64 = 34 * 1024;

/// Bytes of kernel memory per end of an idle connection: socket, inode, dentry, file and poll entry.
/// Half of the 7.6 KB of slab that both ends of a loopback connection took at 1,000,000.
pub(super) const KERNEL_END: u64 = 3_800;

/// Bytes of a serving process before its first connection: program, threads, runtime.
pub(super) const PROCESS_BASE: u64 = 8 << 20;

/// Bytes that one direction of a busy connection may hold in the kernel where `socket.notsent_lowat`
/// is off: the first step of the kernel's own tuning.
pub(super) const ACTIVE_DIRECTION: u64 = 16 * 1024;

/// Memory to ask for, in percent of the estimate: estimates are means, and connections differ.
pub(super) const MEMORY_HEADROOM: u64 = 130;
