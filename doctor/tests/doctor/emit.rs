use towline_config::{ReceiveBuffer, Settings};
use towline_doctor::{Form, Side, Target, fragment, rows};

use crate::tree::Tree;

/// A host with one parameter of each kind too low.
fn low() -> Tree {
    Tree::ample()
        .with("proc/self/limits", "Max open files   1024   20000   files\n")
        .with("proc/sys/net/core/somaxconn", "128")
        .with("proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456")
        .with("proc/sys/fs/file-max", "50000")
        .with("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never")
        .with("sys/fs/cgroup/towline.slice/memory.max", "104857600")
        .with("sys/fs/cgroup/towline.slice/pids.max", "5")
}

fn emitted(tree: &Tree, form: Form) -> Vec<String> {
    let mut settings = Settings::default();
    settings.socket.nodelay = false;
    settings.socket.receive_buffer = ReceiveBuffer::Kernel;
    let target = Target::new(100_000, Side::Server, settings);
    let facts = tree.facts();
    fragment(&rows(&facts, &target), &facts, &target, form).lines().map(str::to_owned).collect()
}

/// Lines that are neither empty nor comments.
fn said(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| !line.trim_start().starts_with('#')).collect()
}

fn commented(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.trim_start().starts_with("# ") && line.contains(text))
}

#[test]
fn sysctl_lines_are_keys_and_values() {
    let lines = emitted(&low(), Form::Sysctl);
    let expected = [
        "fs.file-max = 121100",
        "net.core.somaxconn = 5000",
        "net.ipv4.tcp_rmem = 4096 16384 1048576",
    ];
    assert_eq!(said(&lines), expected, "{lines:#?}");
    assert!(commented(&lines, "LimitNOFILE=110084"));
    assert!(commented(&lines, "MemoryMax="));
    assert!(commented(&lines, "TOWLINE_SOCKET__NODELAY=true"));
    assert!(
        commented(&lines, "a connect that does not fit is retried"),
        "each says why: {lines:#?}"
    );
}

#[test]
fn systemd_fragments_are_a_service_section() {
    let lines = emitted(&low(), Form::Systemd);
    let said = said(&lines);
    assert_eq!(said[..2], ["[Service]", "LimitNOFILE=110084"]);
    assert!(said[2].strip_prefix("MemoryMax=").unwrap().parse::<u64>().unwrap() > 104_857_600);
    assert_eq!(said[3..], ["TasksMax=12", "Environment=TOWLINE_SOCKET__NODELAY=true"]);
    assert!(commented(&lines, "sysctl -w net.core.somaxconn"));
}

#[test]
fn compose_fragments_set_the_container_s_sysctls_and_name_the_host_s() {
    let lines = emitted(&low(), Form::Compose);
    let (limit, said): (Vec<_>, Vec<_>) =
        said(&lines).into_iter().partition(|line| line.contains("mem_limit"));
    let expected = [
        "services:",
        "  towline:",
        "    sysctls:",
        "      net.core.somaxconn: \"5000\"",
        "      net.ipv4.tcp_rmem: \"4096 16384 1048576\"",
        "    ulimits:",
        "      nofile: {soft: 110084, hard: 110084}",
        "    environment:",
        "      TOWLINE_SOCKET__NODELAY: \"true\"",
        "    pids_limit: 12",
    ];
    assert_eq!(said, expected, "{lines:#?}");
    assert!(limit[0].starts_with("    mem_limit: "));
    assert!(commented(&lines, "on the host: sysctl -w fs.file-max=\"121100\""));
}

#[test]
fn kubernetes_fragments_are_a_patch_and_name_unsafe_sysctls() {
    let lines = emitted(&low(), Form::Kubernetes);
    let (limit, said): (Vec<_>, Vec<_>) =
        said(&lines).into_iter().partition(|line| line.contains("memory:"));
    let expected = [
        "spec:",
        "  template:",
        "    spec:",
        "      securityContext:",
        "        sysctls:",
        "          - name: net.core.somaxconn",
        "            value: \"5000\"",
        "          - name: net.ipv4.tcp_rmem",
        "            value: \"4096 16384 1048576\"",
        "      containers:",
        "        - name: towline",
        "          env:",
        "            - name: TOWLINE_SOCKET__NODELAY",
        "              value: \"true\"",
        "          resources:",
        "            limits:",
    ];
    assert_eq!(said, expected, "{lines:#?}");
    assert!(limit[0].starts_with("              memory: \""));
    assert!(commented(&lines, "--allowed-unsafe-sysctls=net.core.somaxconn"));
    assert!(!commented(&lines, "--allowed-unsafe-sysctls=net.ipv4.tcp_rmem"), "it is a safe one");
}

#[test]
fn a_host_in_order_needs_nothing() {
    for form in [Form::Sysctl, Form::Systemd, Form::Compose, Form::Kubernetes] {
        let target = Target::new(100_000, Side::Server, Settings::default());
        let facts = Tree::ample().facts();
        let text = fragment(&rows(&facts, &target), &facts, &target, form);
        assert!(text.ends_with("# Nothing to change.\n"), "{text}");
    }
}

#[test]
fn more_descriptors_than_a_process_can_have_become_processes() {
    let facts = low().facts();
    let target = Target::new(2_000_000, Side::Server, Settings::default());
    let text = fragment(&rows(&facts, &target), &facts, &target, Form::Systemd);
    assert!(text.contains("Environment=TOWLINE_SERVER__PROCESSES=101"), "{text}");
    assert!(!text.contains("LimitNOFILE"), "{text}");
}
