use towline_config::Settings;
use towline_doctor::{
    ProcessCount, Side,
    Verdict::{self, Fail, Warn},
    rows,
};

use crate::{rows::target, tree::Tree};

#[test]
fn settings_are_checked_like_knobs() {
    let facts = Tree::ample().facts();
    let judged = |name: &str, change: &dyn Fn(&mut Settings)| {
        let mut target = target(Side::Server);
        change(&mut target.settings);
        let row = rows(&facts, &target).into_iter().find(|row| row.name == name).unwrap();
        assert_eq!(row.fix.is_some(), row.verdict != Verdict::Ok);
        row.verdict
    };
    assert_eq!(
        judged("limits.connections", &|s| s.limits.connections = 100_000.try_into().ok()),
        Verdict::Ok
    );
    assert_eq!(
        judged("limits.connections", &|s| s.limits.connections = 99_999.try_into().ok()),
        Fail
    );
    assert_eq!(judged("server.backlog", &|s| s.server.backlog = 5_000), Verdict::Ok);
    assert_eq!(judged("server.backlog", &|s| s.server.backlog = 4_999), Fail);
    assert_eq!(judged("socket.nodelay", &|s| s.socket.nodelay = false), Warn);
    assert_eq!(judged("socket.notsent_lowat", &|s| s.socket.notsent_lowat = None), Warn);
    assert_eq!(judged("socket.user_timeout", &|s| s.socket.user_timeout = None), Warn);
    assert_eq!(judged("socket.keepalive", &|s| s.socket.keepalive = None), Verdict::Ok);
    let neither = |s: &mut Settings| {
        s.socket.keepalive = None;
        s.heartbeat.interval = None;
    };
    assert_eq!(judged("socket.keepalive", &neither), Warn);
    let long = |s: &mut Settings| s.limits.line_bytes = 1 << 20;
    assert_eq!(judged("net.ipv4.tcp_slow_start_after_idle", &long), Verdict::Ok);
    let tree = Tree::ample().with("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1");
    let mut target = target(Side::Server);
    let row = "net.ipv4.tcp_slow_start_after_idle";
    assert_eq!(tree.row(&target, row).verdict, Verdict::Ok);
    long(&mut target.settings);
    assert_eq!(tree.row(&target, row).verdict, Warn);
}

#[test]
fn memory_fails_without_what_is_computed_and_warns_without_a_margin() {
    let target = target(Side::Server);
    let judged = |kib: u64| {
        let meminfo = format!("MemAvailable: {kib} kB\nSwapTotal: 0 kB\n");
        Tree::ample().with("proc/meminfo", &meminfo).row(&target, "memory available").verdict
    };
    let (mut less, mut least) = (1, 4_000_000);
    while least - less > 1 {
        let middle = (less + least) / 2;
        if judged(middle) == Fail { less = middle } else { least = middle }
    }
    // A quiet connection is 4.5 KiB with the kernel's share, one in ten holds 32 KiB more.
    assert!((700_000..900_000).contains(&least), "{least} KiB");
    assert_eq!(judged(least), Warn);
    assert_eq!(judged(least * 135 / 100), Verdict::Ok);
}

#[test]
fn the_limits_of_a_control_group_count_in_both_versions() {
    let second = |limit: &str| {
        Tree::ample()
            .with("sys/fs/cgroup/towline.slice/memory.max", limit)
            .with("sys/fs/cgroup/towline.slice/memory.current", "1000000")
    };
    let first = |limit: &str| {
        Tree::ample()
            .with("proc/self/cgroup", "4:memory:/a/b\n8:pids:/a\n1:cpu,cpuacct:/\n0::/\n")
            .with("sys/fs/cgroup/memory/a/memory.limit_in_bytes", limit)
            .with("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712")
    };
    let target = target(Side::Server);
    for make in [&second as &dyn Fn(&str) -> Tree, &first] {
        assert_eq!(make("500000000").row(&target, "memory cgroup limit").verdict, Fail);
        assert_eq!(make("5000000000").row(&target, "memory cgroup limit").verdict, Verdict::Ok);
    }
    let tasks = |max| {
        Tree::ample()
            .with("sys/fs/cgroup/towline.slice/pids.max", max)
            .with("sys/fs/cgroup/towline.slice/pids.current", "1")
            .row(&target, "pids cgroup limit")
            .verdict
    };
    assert_eq!((tasks("12"), tasks("13"), tasks("max")), (Fail, Verdict::Ok, Verdict::Ok));
    let quota = |max, throttled: &str| {
        Tree::ample()
            .with("sys/fs/cgroup/towline.slice/cpu.max", max)
            .with(
                "sys/fs/cgroup/towline.slice/cpu.stat",
                &format!("usage_usec 5\nnr_throttled {throttled}\n"),
            )
            .row(&target, "cpu cgroup quota")
            .verdict
    };
    assert_eq!(quota("400000 100000", "0"), Verdict::Ok);
    assert_eq!(quota("399000 100000", "0"), Verdict::Ok, "within rounding of four cores");
    assert_eq!(quota("300000 100000", "0"), Warn);
    assert_eq!(quota("400000 100000", "7"), Warn);
}

#[test]
fn tracking_that_tracks_nothing_is_no_wall() {
    let tree = Tree::ample()
        .with("proc/sys/net/netfilter/nf_conntrack_count", "0")
        .with("proc/sys/net/netfilter/nf_conntrack_max", "100");
    assert_eq!(
        tree.row(&target(Side::Server), "net.netfilter.nf_conntrack_max").verdict,
        Verdict::Ok
    );
    let without = Tree::ample().without("proc/sys/net/netfilter/nf_conntrack_max");
    let rows = rows(&without.facts(), &target(Side::Server));
    assert!(rows.iter().all(|row| !row.name.contains("conntrack")));
}

#[test]
fn the_capability_opens_low_ports() {
    let mut target = target(Side::Server);
    target.settings.server.listen =
        vec![towline_config::Listen::Tcp(([0, 0, 0, 0], 80).into()).into()];
    let row = "net.ipv4.ip_unprivileged_port_start";
    assert_eq!(Tree::ample().row(&target, row).verdict, Fail);
    let able = Tree::ample().with("proc/self/status", "CapEff:\t0000000000000400\n");
    assert_eq!(able.row(&target, row).verdict, Verdict::Ok);
}

#[test]
fn descriptors_fail_without_one_a_connection_and_warn_without_a_margin() {
    let judged = |hard, processes| {
        let mut target = target(Side::Server);
        target.processes = processes;
        Tree::ample().with("proc/self/limits", &limits(hard)).row(&target, "RLIMIT_NOFILE").verdict
    };
    // 100,000 connections, 64 descriptors aside and 5 for each of 4 threads.
    assert_eq!(judged(100_083, ProcessCount::Unspecified), Fail);
    assert_eq!(judged(100_084, ProcessCount::Unspecified), Warn);
    assert_eq!(judged(110_084, ProcessCount::Exactly(1)), Verdict::Ok);
    // Ten processes have a thread each, as those of a server do.
    assert_eq!(judged(10_068, ProcessCount::Exactly(10)), Fail);
    assert_eq!(judged(10_069, ProcessCount::Exactly(10)), Warn);
    assert_eq!(judged(50_073, ProcessCount::Exactly(2)), Fail, "two have two each");
    assert_eq!(judged(50_074, ProcessCount::Exactly(2)), Warn);
    assert!(judged(10_068, ProcessCount::Auto) < Fail, "eleven processes hold them");
}

#[test]
fn a_proxy_needs_two_descriptors_a_connection() {
    let judged = |hard| {
        let tree = Tree::ample().with("proc/self/limits", &limits(hard));
        tree.row(&target(Side::Proxy), "RLIMIT_NOFILE").verdict
    };
    assert_eq!((judged(200_255), judged(200_256)), (Fail, Warn));
}

#[test]
fn both_ends_on_one_host_need_twice_the_files_and_watches() {
    let judged = |max: &str, row| {
        let file = format!("proc/sys/{}", row_file(row));
        Tree::ample().with(&file, max).row(&target(Side::Both), row).verdict
    };
    assert_eq!(judged("201083", "fs.file-max"), Fail);
    assert_eq!(judged("201084", "fs.file-max"), Warn);
    assert_eq!(judged("199999", "fs.epoll.max_user_watches"), Fail);
}

fn limits(hard: u64) -> String {
    format!("Max open files            1024                 {hard}              files\n")
}

fn row_file(name: &str) -> String {
    name.replace('.', "/")
}
