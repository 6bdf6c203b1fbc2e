use towline_doctor::{Environment, Facts};

use crate::tree::Tree;

#[test]
fn a_host_is_read_from_its_files() {
    let facts = Tree::ample().facts();
    assert_eq!(facts.descriptors, Some(1_000_000));
    assert_eq!(facts.cores, Some(4));
    assert_eq!(facts.files_left(), Some(9_000_000 - 1_000));
    assert_eq!(facts.memory.available, Some(32_000_000 * 1024));
    assert_eq!(facts.memory_left(), facts.memory.available);
    assert_eq!(facts.privileged_ports, Some(false));
    assert_eq!(facts.huge_pages.as_deref(), Some("madvise"));
    assert_eq!(facts.sysctls.field("net.ipv4.tcp_mem", 2), Some(3_000_000));
    assert!(facts.in_first_network());
    let tcp = facts.tcp.unwrap();
    assert_eq!((tcp.sockets, tcp.orphans, tcp.time_wait, tcp.pages), (2, 0, 3, 5));
}

#[test]
fn a_host_that_says_nothing_is_unknown_and_not_a_panic() {
    assert_eq!(Tree::empty().facts(), Facts::default());
    let nonsense = Tree::ample();
    for file in [
        "proc/self/limits",
        "proc/self/status",
        "proc/self/cgroup",
        "proc/meminfo",
        "proc/net/sockstat",
        "proc/net/netstat",
        "proc/net/softnet_stat",
        "proc/sys/fs/file-nr",
        "sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        nonsense
            .put(file, "TCP: inuse\nMax open files\nCpus_allowed_list:\t9-3,x\n[\n::\n4:memory:\n");
    }
    let facts = nonsense.facts();
    assert_eq!((facts.descriptors, facts.cores, facts.files_open), (None, None, None));
    assert_eq!((facts.memory.available, facts.tcp), (None, None));
}

#[test]
fn the_tightest_level_of_a_group_counts_less_its_cache() {
    let tree = Tree::ample()
        .with("proc/self/cgroup", "0::/a/b\n")
        .with("sys/fs/cgroup/a/memory.max", "1000000")
        .with("sys/fs/cgroup/a/memory.current", "700000")
        .with("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 200000\n")
        .with("sys/fs/cgroup/a/b/memory.max", "max");
    let memory = tree.facts().cgroup.memory.unwrap();
    assert_eq!((memory.limit, memory.used, memory.left()), (1_000_000, 500_000, 500_000));
    assert_eq!(tree.facts().memory_left(), Some(500_000));
}

#[test]
fn a_container_sees_its_own_group_at_the_mount() {
    let tree = Tree::ample()
        .with("proc/self/cgroup", "4:memory:/docker/0123abcd\n0::/\n")
        .with("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")
        .with("sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
    assert_eq!(tree.facts().cgroup.memory.unwrap().limit, 536_870_912);
}

#[test]
fn the_place_is_told_from_what_is_there() {
    let environment = |tree: Tree| tree.facts().environment;
    assert_eq!(environment(Tree::ample()), Environment::Bare);
    let unit = "0::/system.slice/towline.service\n";
    assert_eq!(environment(Tree::ample().with("proc/self/cgroup", unit)), Environment::Systemd);
    assert_eq!(environment(Tree::ample().with(".dockerenv", "")), Environment::Container);
    assert_eq!(environment(Tree::ample().with("run/.containerenv", "")), Environment::Container);
    let pod = Tree::ample().with("var/run/secrets/kubernetes.io/serviceaccount/token", "");
    assert_eq!(environment(pod), Environment::Kubernetes);
}

#[test]
fn this_very_host_can_be_read() {
    let facts = Facts::read();
    assert!(facts.descriptors.is_some_and(|limit| limit > 0));
    assert!(facts.sysctls.number("net.core.somaxconn").is_some());
    assert!(facts.cores.is_some_and(|cores| cores > 0));
}
