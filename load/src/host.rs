//! What this host allows: descriptors and ports.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most descriptors a process can have here (the hard limit).
pub(crate) fn descriptor_limit() -> u32 {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::from(u32::MAX));
    u32::try_from(limit).unwrap_or(u32::MAX)
}

/// Raises this process's soft limit of descriptors to the hard one.
pub(crate) fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Raising the soft limit to the hard one is always allowed; were it not, connects would say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Keeps the kernel from backing small allocations with pages of 2 MiB, which some allocators ask for:
/// a generator's memory is many small things, and would count ten times what it holds.
pub(crate) fn refuse_huge_pages() {
    // Kernels built without them refuse the refusal.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// How many local ports one address has for outgoing connections.
pub(crate) fn local_ports() -> u32 {
    let read = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let parsed = read.as_deref().and_then(|text| {
        let mut ends = text.split_whitespace().map(str::parse::<u32>);
        Some(ends.next()?.ok()?..=ends.next()?.ok()?)
    });
    // The kernel's own default, where /proc is hidden.
    let range = parsed.unwrap_or(32_768..=60_999);
    range.end().saturating_sub(*range.start()) + 1
}

/// The bytes of memory TCP may use on this host before the kernel begins to save; `None` where /proc is
/// hidden.
pub(crate) fn tcp_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The cores this process may use.
pub(crate) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}
