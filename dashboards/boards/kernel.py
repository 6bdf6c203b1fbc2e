"""What did the kernel do to connections before the server saw them?"""

from panels import CONNECTIONS, NODE, R, Board, gauge, per, series, total_rate


def node(metric):
    return f"{metric}{{{NODE}}}"


def node_rate(metric):
    return f"sum(rate({metric}{{{NODE}}}[{R}]))"


ACCEPT = (
    series(
        "Accept queue",
        "percentunit",
        "Connections in the kernel that wait to be accepted, as a share of those that may. It fills "
        "when the server is at its connection limit or its acceptor is late.",
        (
            f"sum by (instance) ({gauge('towline_accept_queue_length')})"
            f" / sum by (instance) ({gauge('towline_accept_queue_limit')})",
            "{{instance}}",
        ),
        soft_maximum=1,
    ),
    series(
        "Queue overflows and drops",
        "cps",
        "Above zero, clients saw their connect hang and be retried after 1, 3 and 7 seconds. All "
        "listeners of the server's network namespace.",
        (total_rate("towline_kernel_listen_overflows_total"), "overflows"),
        (total_rate("towline_kernel_listen_drops_total"), "drops"),
        soft_maximum=1,
    ),
    series(
        "Accept errors",
        "ops",
        "EMFILE, ENFILE: out of descriptors. ENOBUFS, ENOMEM: out of memory. ECONNABORTED: the peer "
        "gave up in the queue.",
        (total_rate("towline_accept_errors_total", by="errno"), "{{errno}}"),
        soft_maximum=1,
    ),
    series(
        "Aborted for lack of memory",
        "cps",
        "Connections the kernel cut because TCP memory ran out, in the server's network namespace.",
        (
            total_rate("towline_kernel_abort_on_memory_total", by="instance"),
            "{{instance}}",
        ),
        soft_maximum=1,
        width=12,
    ),
    series(
        "Throughput per connection",
        "Bps",
        "Bytes a second an average connection moves: what the kernel's buffers have to carry.",
        (per(total_rate("towline_read_bytes_total"), CONNECTIONS), "read"),
        (per(total_rate("towline_written_bytes_total"), CONNECTIONS), "written"),
        width=12,
    ),
)

HOST = (
    series(
        "TCP sockets",
        "short",
        "TIME_WAIT gathers on the side that closes first. Orphans are closed with bytes unsent.",
        (f"sum({node('node_sockstat_TCP_inuse')})", "in use"),
        (f"sum({node('node_sockstat_TCP_tw')})", "time wait"),
        (f"sum({node('node_sockstat_TCP_orphan')})", "orphan"),
    ),
    series(
        "TCP memory",
        "bytes",
        "Kernel memory of all socket buffers; compare with net.ipv4.tcp_mem.",
        (f"sum({node('node_sockstat_TCP_mem_bytes')})", "in use"),
    ),
    series(
        "Retransmits",
        "percentunit",
        "Share of segments sent again.",
        (
            f"{node_rate('node_netstat_Tcp_RetransSegs')} / {node_rate('node_netstat_Tcp_OutSegs')}",
            "sent again",
        ),
        soft_maximum=0.01,
    ),
    series(
        "Connection tracking",
        "percentunit",
        "Entries over the limit. A full table drops new connections without a word.",
        (
            f"{node('node_nf_conntrack_entries')} / {node('node_nf_conntrack_entries_limit')}",
            "{{instance}}",
        ),
        maximum=1,
        no_value="not tracked",
    ),
    series(
        "CPU pressure",
        "percentunit",
        "Share of time some task waited for a processor.",
        (f"rate(node_pressure_cpu_waiting_seconds_total{{{NODE}}}[{R}])", "{{instance}}"),
        no_value="not told by this kernel",
    ),
    series(
        "Packet backlog",
        "ops",
        "Squeezed: the kernel ran out of its time slice. Dropped: its input queue was full, on the "
        "loopback too.",
        (node_rate("node_softnet_times_squeezed_total"), "squeezed"),
        (node_rate("node_softnet_dropped_total"), "dropped"),
        soft_maximum=1,
    ),
)

KERNEL = Board(
    "kernel",
    "Kernel and network",
    "What did the kernel do to connections before the server saw them? The first row is the server's "
    "own network namespace, the second its host.",
    (("Accept path", ACCEPT), ("Host (node_exporter)", HOST)),
    node=True,
)
