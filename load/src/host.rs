//! Limits of this host: descriptors, ports, memory, cores.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The hard limit of descriptors per process.
pub(crate) fn descriptor_limit() -> u32 {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::from(u32::MAX));
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// Raises this process's soft limit of descriptors to the hard limit.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Always allowed. If it fails all the same, connects fail with a clear error.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Keeps the kernel from using 2 MiB pages, which some allocators ask for: the generator makes many
/// small allocations, and its resident memory would be ten times what it uses.
pub(crate) fn disable_huge_pages() {
    // Fails on kernels without transparent huge pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The number of local ports of one source address.
pub(crate) fn local_ports() -> u32 {
    let read = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let parsed = read.as_deref().and_then(|text| {
        let mut ends = text.split_whitespace().map(str::parse::<u32>);
        Some(ends.next()?.ok()?..=ends.next()?.ok()?)
    });
    // The kernel's default, if /proc is hidden.
    let range = parsed.unwrap_or(32_768..=60_999);
    range.end().saturating_sub(*range.start()) + 1
}

/// Bytes of TCP memory at which the kernel begins to save memory (the second value of
/// `net.ipv4.tcp_mem`); `None` if /proc is hidden.
pub(crate) fn tcp_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The number of cores that this process may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}
