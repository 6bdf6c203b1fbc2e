//! From files to [`Facts`].

use std::{collections::BTreeMap, fs, path::Path};

use towline_host::Cgroup;

use super::{Environment, Facts, Memory, Softnet, Sysctls, TcpUse};

/// CAP_NET_BIND_SERVICE, as a bit of `CapEff`.
const BIND_SERVICE: u64 = 1 << 10;

pub(super) fn all(root: &Path) -> Facts {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let status = text("proc/self/status").unwrap_or_default();
    let meminfo = text("proc/meminfo").unwrap_or_default();
    Facts {
        sysctls: Sysctls::read(root),
        descriptors: text("proc/self/limits").and_then(|limits| descriptors(&limits)),
        files_open: text("proc/sys/fs/file-nr").and_then(|nr| word(&nr, 0)?.parse().ok()),
        cores: field(&status, "Cpus_allowed_list").and_then(cores),
        privileged_ports: field(&status, "CapEff")
            .and_then(|bits| Some(u64::from_str_radix(bits, 16).ok()? & BIND_SERVICE != 0)),
        memory: Memory {
            available: kib(&meminfo, "MemAvailable"),
            swap: kib(&meminfo, "SwapTotal"),
        },
        cgroup: Cgroup::read(root),
        tcp: text("proc/net/sockstat").and_then(|text| tcp(&text)),
        counters: text("proc/net/netstat").map(|text| counters(&text)).unwrap_or_default(),
        softnet: text("proc/net/softnet_stat").map(|text| softnet(&text)),
        clocksource: text("sys/devices/system/clocksource/clocksource0/current_clocksource")
            .map(|text| text.trim().to_owned()),
        huge_pages: text("sys/kernel/mm/transparent_hugepage/enabled")
            .and_then(|text| Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())),
        handshakes: None,
        environment: environment(root),
    }
}

/// The hard limit of `Max open files`.
fn descriptors(limits: &str) -> Option<u64> {
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match word(row, 1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Number of cores in a list such as `0-3,7`.
fn cores(list: &str) -> Option<u64> {
    let count = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(to.parse::<u64>().ok()?.checked_sub(from.parse().ok()?)? + 1)
    };
    list.split(',').map(count).sum()
}

/// `TCP: inuse 1 orphan 0 tw 100 alloc 1 mem 0`
fn tcp(sockstat: &str) -> Option<TcpUse> {
    let row = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let words: Vec<_> = row.split_whitespace().collect();
    let named = |name: &str| {
        words.chunks_exact(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok())
    };
    Some(TcpUse {
        sockets: named("alloc")?,
        orphans: named("orphan")?,
        time_wait: named("tw")?,
        pages: named("mem")?,
    })
}

/// The `TcpExt` pair of lines: names on the first, numbers on the second.
fn counters(netstat: &str) -> BTreeMap<String, u64> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return BTreeMap::new();
    };
    let pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Sums the columns of `/proc/net/softnet_stat`: one row per processor, in hexadecimal.
fn softnet(text: &str) -> Softnet {
    let sum = |column: usize| {
        let cell = |row: &str| u64::from_str_radix(word(row, column)?, 16).ok();
        text.lines().filter_map(cell).sum()
    };
    Softnet { drops: sum(1), squeezes: sum(2) }
}

fn environment(root: &Path) -> Environment {
    let there = |path: &str| root.join(path).exists();
    let group = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    if there("var/run/secrets/kubernetes.io") || group.contains("kubepods") {
        return Environment::Kubernetes;
    }
    let engines = ["/docker", "/containerd", "/libpod"];
    if there(".dockerenv")
        || there("run/.containerenv")
        || engines.iter().any(|name| group.contains(name))
    {
        return Environment::Container;
    }
    if group.contains(".service") { Environment::Systemd } else { Environment::Bare }
}

fn kib(meminfo: &str, name: &str) -> Option<u64> {
    Some(field(meminfo, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The text after `name:`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn word(text: &str, index: usize) -> Option<&str> {
    text.split_whitespace().nth(index)
}
