use towline_config::{ReceiveBuffer, Settings};
use towline_doctor::{
    Side, Target,
    Verdict::{self, Fail, Warn},
    rows,
};

use crate::tree::Tree;

const C: u64 = 100_000;

pub(crate) fn target(side: Side) -> Target {
    let mut target = Target::new(C, side, Settings::default());
    // Two source addresses, so that ports suffice; a test of its own covers one.
    target.sources = Some(2);
    target
}

#[test]
fn a_host_with_ample_limits_is_in_order_on_every_side() {
    let facts = Tree::ample().facts();
    for side in [Side::Server, Side::Load, Side::Both, Side::Proxy] {
        let rows = rows(&facts, &target(side));
        let wrong: Vec<_> = rows.iter().filter(|row| row.verdict != Verdict::Ok).collect();
        assert!(wrong.is_empty(), "{side:?}: {wrong:#?}");
        assert!(rows.iter().all(|row| row.fix.is_none() && !row.why.is_empty()));
    }
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_a_failure() {
    let facts = Tree::empty().facts();
    for side in [Side::Server, Side::Load, Side::Both, Side::Proxy] {
        for row in rows(&facts, &target(side)) {
            assert!(row.verdict <= Verdict::Unknown, "{row:?}");
            assert_eq!(row.verdict == Verdict::Unknown, row.value.is_none(), "{row:?}");
        }
    }
}

/// Row, file, a value that suffices, one that is one step too small, and the verdict on that.
type Step = (&'static str, &'static str, &'static str, &'static str, Verdict);

/// Steps for 100,000 connections, 10,000 new ones per second, one process with four threads.
const STEPS: &[Step] = &[
    ("fs.nr_open", "proc/sys/fs/nr_open", "100084", "100083", Fail),
    ("fs.file-max", "proc/sys/fs/file-max", "101084", "101083", Fail),
    ("fs.file-max", "proc/sys/fs/file-max", "121100", "121099", Warn),
    ("fs.epoll.max_user_watches", "proc/sys/fs/epoll/max_user_watches", "100000", "99999", Fail),
    ("fs.epoll.max_user_watches", "proc/sys/fs/epoll/max_user_watches", "200000", "199999", Warn),
    ("kernel.threads-max", "proc/sys/kernel/threads-max", "12", "11", Fail),
    ("kernel.pid_max", "proc/sys/kernel/pid_max", "12", "11", Fail),
    ("vm.max_map_count", "proc/sys/vm/max_map_count", "4096", "4095", Warn),
    ("net.core.somaxconn", "proc/sys/net/core/somaxconn", "5000", "4999", Fail),
    ("net.ipv4.tcp_max_syn_backlog", "proc/sys/net/ipv4/tcp_max_syn_backlog", "5000", "4999", Warn),
    ("net.ipv4.tcp_syncookies", "proc/sys/net/ipv4/tcp_syncookies", "1", "0", Warn),
    ("net.ipv4.tcp_abort_on_overflow", "proc/sys/net/ipv4/tcp_abort_on_overflow", "0", "1", Warn),
    ("net.ipv4.tcp_synack_retries", "proc/sys/net/ipv4/tcp_synack_retries", "3", "4", Warn),
    ("net.ipv4.tcp_fin_timeout", "proc/sys/net/ipv4/tcp_fin_timeout", "30", "31", Warn),
    (
        "net.ipv4.tcp_max_tw_buckets",
        "proc/sys/net/ipv4/tcp_max_tw_buckets",
        "100000",
        "99999",
        Warn,
    ),
    ("net.ipv4.tcp_fastopen", "proc/sys/net/ipv4/tcp_fastopen", "1", "3", Warn),
    (
        "net.ipv4.ip_unprivileged_port_start",
        "proc/sys/net/ipv4/ip_unprivileged_port_start",
        "9000",
        "9001",
        Fail,
    ),
    ("net.ipv4.tcp_mem", "proc/sys/net/ipv4/tcp_mem", "1 120000 3000000", "1 119999 3000000", Warn),
    (
        "TCP memory in use",
        "proc/net/sockstat",
        "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 2100000",
        "TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 2100001",
        Warn,
    ),
    (
        "net.ipv4.tcp_rmem",
        "proc/sys/net/ipv4/tcp_rmem",
        "4096 16384 1048576",
        "4096 16384 1048577",
        Warn,
    ),
    (
        "net.ipv4.tcp_wmem",
        "proc/sys/net/ipv4/tcp_wmem",
        "4096 16384 262144",
        "4096 16384 262145",
        Warn,
    ),
    ("net.core.rmem_max", "proc/sys/net/core/rmem_max", "65536", "65535", Warn),
    ("net.core.wmem_max", "proc/sys/net/core/wmem_max", "65536", "65535", Warn),
    ("net.ipv4.tcp_max_orphans", "proc/sys/net/ipv4/tcp_max_orphans", "10000", "9999", Warn),
    ("swap", "proc/meminfo", "SwapTotal: 0 kB", "SwapTotal: 1024 kB", Warn),
    (
        "transparent huge pages",
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always madvise [never]",
        "[always] madvise never",
        Warn,
    ),
    (
        "net.netfilter.nf_conntrack_max",
        "proc/sys/net/netfilter/nf_conntrack_max",
        "100010",
        "100009",
        Fail,
    ),
    (
        "net.netfilter.nf_conntrack_max",
        "proc/sys/net/netfilter/nf_conntrack_max",
        "200010",
        "200009",
        Warn,
    ),
    (
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
        "3600",
        "3601",
        Warn,
    ),
    ("softnet drops", "proc/net/softnet_stat", "0000ffff 00000000 0", "0000ffff 00000001 0", Warn),
    ("net.core.busy_poll", "proc/sys/net/core/busy_poll", "0", "50", Warn),
    ("net.core.busy_read", "proc/sys/net/core/busy_read", "0", "50", Warn),
    (
        "clocksource",
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "kvm-clock",
        "hpet",
        Warn,
    ),
    (
        "ListenOverflows",
        "proc/net/netstat",
        "TcpExt: ListenOverflows\nTcpExt: 0",
        "TcpExt: ListenOverflows\nTcpExt: 1",
        Warn,
    ),
    (
        "SyncookiesSent",
        "proc/net/netstat",
        "TcpExt: SyncookiesSent\nTcpExt: 0",
        "TcpExt: SyncookiesSent\nTcpExt: 1",
        Warn,
    ),
    (
        "TCPAbortOnMemory",
        "proc/net/netstat",
        "TcpExt: TCPAbortOnMemory\nTcpExt: 0",
        "TcpExt: TCPAbortOnMemory\nTcpExt: 1",
        Warn,
    ),
];

#[test]
fn each_row_flips_one_step_below_what_is_needed() {
    let mut target = target(Side::Server);
    // Else the server sets the sizes of its buffers, and net.ipv4.tcp_rmem does not matter.
    target.settings.socket.receive_buffer = ReceiveBuffer::Kernel;
    for (name, file, enough, less, verdict) in STEPS {
        // Where a number must be exceeded twice, the nearer bound decides what "enough" is.
        let at = Tree::ample().with(file, enough).row(&target, name);
        assert!(at.verdict < *verdict, "{name} with {enough}: {at:?}");
        let below = Tree::ample().with(file, less).row(&target, name);
        assert_eq!(below.verdict, *verdict, "{name} with {less}: {below:?}");
        // A count says that something happened, not what to set.
        let is_count = file.ends_with("netstat");
        assert_eq!(below.fix.is_none(), is_count, "{name}: {below:?}");
    }
}

/// The doctor asked for a smaller net.ipv4.tcp_rmem on the whole host, although the server sets the
/// receive buffer of each of its sockets.
#[test]
fn tcp_rmem_does_not_matter_to_a_server_that_sets_its_receive_buffer() {
    let host = Tree::ample().with("proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456");
    let mut target = target(Side::Server);
    assert_ne!(target.settings.socket.receive_buffer, ReceiveBuffer::Kernel, "it is the default");
    assert_eq!(host.row(&target, "net.ipv4.tcp_rmem").verdict, Verdict::Ok);
    target.settings.socket.receive_buffer = ReceiveBuffer::Kernel;
    assert_eq!(host.row(&target, "net.ipv4.tcp_rmem").verdict, Warn);
    target.settings = Settings::default();
    target.side = Side::Both;
    assert_eq!(host.row(&target, "net.ipv4.tcp_rmem").verdict, Warn, "the generator's may grow");
}

#[test]
fn one_source_address_has_as_many_connections_as_ports() {
    let mut target = Target::new(28_232, Side::Load, Settings::default());
    let tree = Tree::ample().with("proc/sys/net/ipv4/ip_local_port_range", "32768 60999");
    let row = "net.ipv4.ip_local_port_range";
    assert_eq!(tree.row(&target, row).verdict, Verdict::Ok);
    target.connections += 1;
    assert_eq!(tree.row(&target, row).verdict, Fail);
    target.sources = Some(2);
    assert_eq!(tree.row(&target, row).verdict, Verdict::Ok);
    target.sources = Some(1);
    target.connections -= 1;
    let tree = tree.with("proc/sys/net/ipv4/ip_local_reserved_ports", "8080,40000-40001");
    assert_eq!(tree.row(&target, row).verdict, Fail, "two ports of the range are reserved");
}

#[test]
fn ports_in_time_wait_are_free_again_at_once_on_the_loopback_only() {
    let judged = |side, value: &str| {
        let tree = Tree::ample().with("proc/sys/net/ipv4/tcp_tw_reuse", value);
        tree.row(&target(side), "net.ipv4.tcp_tw_reuse").verdict
    };
    assert_eq!((judged(Side::Both, "2"), judged(Side::Both, "0")), (Verdict::Ok, Warn));
    assert_eq!((judged(Side::Load, "1"), judged(Side::Load, "2")), (Verdict::Ok, Warn));
}

#[test]
fn a_listening_server_needs_no_ports_and_a_generator_no_queue() {
    let facts = Tree::ample().facts();
    let names = |side| rows(&facts, &target(side)).into_iter().map(|row| row.name);
    assert!(!names(Side::Server).any(|name| name.contains("port_range")));
    assert!(!names(Side::Load).any(|name| name == "net.core.somaxconn"));
    assert!(names(Side::Both).any(|name| name == "net.core.somaxconn"));
}

#[test]
fn bbr_needs_fq_which_a_namespace_does_not_show() {
    let judged = |discipline| {
        let tree = Tree::ample()
            .with("proc/sys/net/ipv4/tcp_congestion_control", "bbr")
            .with("proc/sys/net/core/default_qdisc", discipline);
        tree.row(&target(Side::Server), "net.ipv4.tcp_congestion_control").verdict
    };
    assert_eq!((judged("fq"), judged("pfifo_fast")), (Verdict::Ok, Warn));
    let (control, discipline) =
        ("proc/sys/net/ipv4/tcp_congestion_control", "proc/sys/net/core/default_qdisc");
    let judged_in_namespace = |name| {
        let tree = Tree::ample().with(control, name).without(discipline);
        tree.row(&target(Side::Server), "net.ipv4.tcp_congestion_control").verdict
    };
    assert_eq!(judged_in_namespace("bbr"), Verdict::Unknown);
    assert_eq!(judged_in_namespace("cubic"), Verdict::Ok);
}

#[test]
fn packets_queue_when_there_are_more_than_a_hundred_thousand_a_second() {
    let judged = |lines, backlog| {
        let mut target = target(Side::Server);
        target.lines_per_second = lines;
        let tree = Tree::ample().with("proc/sys/net/core/netdev_max_backlog", backlog);
        tree.row(&target, "net.core.netdev_max_backlog").verdict
    };
    assert_eq!(judged(1_000, "1000"), Verdict::Ok);
    assert_eq!(judged(100_000, "9999"), Warn);
    assert_eq!(judged(100_000, "10000"), Verdict::Ok);
}

/// A million connections with both ends here are two million sockets: eight a bucket of the table that
/// a host of 24 GiB makes for itself.
#[test]
fn the_kernel_s_table_of_sockets_grows_with_the_connections_of_both_ends() {
    let judged = |side, entries| {
        let mut target = target(side);
        target.connections = 1_000_000;
        let tree = Tree::ample().with("proc/sys/net/ipv4/tcp_ehash_entries", entries);
        tree.row(&target, "net.ipv4.tcp_ehash_entries").verdict
    };
    assert_eq!(judged(Side::Both, "262144"), Warn);
    assert_eq!(judged(Side::Both, "1048576"), Verdict::Ok);
    assert_eq!(judged(Side::Server, "524288"), Verdict::Ok);
    assert_eq!(judged(Side::Server, "-262144"), Warn, "the host's, shared by a namespace");
}

#[test]
fn a_budget_is_raised_once_a_processor_ran_out_of_it() {
    let judged = |squeezes, budget| {
        let mut target = target(Side::Server);
        target.lines_per_second = 100_000;
        let tree = Tree::ample()
            .with("proc/net/softnet_stat", &format!("0000ffff 00000000 {squeezes:08x}\n"))
            .with("proc/sys/net/core/netdev_budget", budget);
        tree.row(&target, "net.core.netdev_budget").verdict
    };
    assert_eq!(
        (judged(0, "300"), judged(1, "300"), judged(1, "600")),
        (Verdict::Ok, Warn, Verdict::Ok)
    );
}
