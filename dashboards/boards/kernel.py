"""What did the kernel do to connections before the server saw them?"""

from panels import NODE, R, Board, gauge, series, stat, total_rate


def node(metric):
    return f"{metric}{{{NODE}}}"


def node_rate(metric):
    return f"sum(rate({metric}{{{NODE}}}[{R}]))"


LIMITS = 'level!="min"'


def counted(title, description, metric, matchers=""):
    """A figure that is zero on a healthy server, whenever in the chosen time it was not."""
    return stat(
        title,
        "short",
        description + " In the chosen time, of all instances.",
        (f"sum(increase({gauge(metric, matchers)}[$__range]))", title),
        thresholds=((None, "green"), (1, "orange")),
        decimals=0,
    )


EVER = (
    counted(
        "Queue overflows",
        "Connections that found the accept queue full: connects of clients hung.",
        "towline_kernel_listen_overflows_total",
    ),
    counted(
        "Accept errors",
        "Errors of accept, without clients that disconnected in the queue.",
        "towline_accept_errors_total",
        'errno!="ECONNABORTED"',
    ),
    counted(
        "Aborted for memory",
        "Connections that the kernel reset because TCP memory was used up.",
        "towline_kernel_abort_on_memory_total",
    ),
    counted(
        "SYN cookies",
        "Sent because the queue of half-open connections was full.",
        "towline_kernel_syncookies_sent_total",
    ),
    counted(
        "Backlog drops",
        "Segments dropped because the backlog of a socket was full.",
        "towline_kernel_backlog_drops_total",
    ),
    counted(
        "Timeouts",
        "Retransmission timeouts: a client's host, or the network to it, did not answer.",
        "towline_kernel_timeouts_total",
    ),
)

ACCEPT = (
    series(
        "Accept queue",
        "percentunit",
        "Connections that wait in the kernel to be accepted, divided by the queue's length. Fills when the "
        "server is at its connection limit, or accepts more slowly than clients connect.",
        (
            f"sum by (instance) ({gauge('towline_accept_queue_length')})"
            f" / sum by (instance) ({gauge('towline_accept_queue_limit')})",
            "{{instance}}",
        ),
        soft_maximum=1,
    ),
    series(
        "Queue overflows and drops",
        "suffix:conn/s",
        "Above zero, connects of clients hang and are retried after 1, 3 and 7 seconds. Counts all "
        "listening sockets of the server's network namespace.",
        (total_rate("towline_kernel_listen_overflows_total"), "overflows"),
        (total_rate("towline_kernel_listen_drops_total"), "drops"),
        soft_maximum=1,
    ),
    series(
        "Accept errors",
        "suffix:/s",
        "EMFILE, ENFILE: no descriptor left. ENOBUFS, ENOMEM: no kernel memory left. ECONNABORTED: the "
        "client disconnected while it waited in the queue.",
        (total_rate("towline_accept_errors_total", by="errno"), "{{errno}}"),
        soft_maximum=1,
    ),
    series(
        "Aborted for lack of memory",
        "suffix:conn/s",
        "Connections that the kernel reset because TCP memory (net.ipv4.tcp_mem) was used up, in the "
        "server's network namespace.",
        (
            total_rate("towline_kernel_abort_on_memory_total", by="instance"),
            "{{instance}}",
        ),
        soft_maximum=1,
    ),
    series(
        "Retransmits and timeouts",
        "suffix:/s",
        "Segments that were sent again, and retransmission timeouts, in the server's network namespace: the "
        "network loses packets, or a client's host does not answer.",
        (total_rate("towline_kernel_retransmits_total"), "segments sent again"),
        (total_rate("towline_kernel_timeouts_total"), "timeouts"),
        soft_maximum=1,
    ),
    series(
        "Drops by TCP",
        "suffix:/s",
        "Segments dropped because a socket's backlog or receive queue was full, or its window closed, and SYN "
        "cookies sent because the queue of half-open connections was full.",
        (total_rate("towline_kernel_backlog_drops_total"), "backlog"),
        (total_rate("towline_kernel_receive_queue_drops_total"), "receive queue"),
        (total_rate("towline_kernel_zero_window_drops_total"), "closed window"),
        (total_rate("towline_kernel_syncookies_sent_total"), "SYN cookies"),
        soft_maximum=1,
    ),
    series(
        "TCP memory of the host",
        "bytes",
        "Memory of all TCP buffers of the host, and the limits (net.ipv4.tcp_mem) from which the kernel takes memory "
        "from connections (pressure, the lower line) and resets connections (max).",
        (f"max({gauge('towline_kernel_tcp_memory_bytes')})", "in use"),
        (f"max by (level) ({gauge('towline_kernel_tcp_memory_limit_bytes', LIMITS)})", "{{level}}"),
        limits=("pressure", "max"),
        width=24,
    ),
)

HOST = (
    series(
        "TCP sockets",
        "short",
        "TIME_WAIT sockets accumulate on the side that closes first. Orphans are closed sockets with "
        "unsent bytes.",
        (f"sum({node('node_sockstat_TCP_inuse')})", "in use"),
        (f"sum({node('node_sockstat_TCP_tw')})", "time wait"),
        (f"sum({node('node_sockstat_TCP_orphan')})", "orphan"),
    ),
    series(
        "TCP memory",
        "bytes",
        "Kernel memory of all TCP socket buffers; its limit is net.ipv4.tcp_mem.",
        (f"sum({node('node_sockstat_TCP_mem_bytes')})", "in use"),
    ),
    series(
        "Retransmits",
        "percentunit",
        "Share of TCP segments that were sent again.",
        (
            f"{node_rate('node_netstat_Tcp_RetransSegs')} / {node_rate('node_netstat_Tcp_OutSegs')}",
            "sent again",
        ),
        soft_maximum=0.01,
    ),
    series(
        "Connection tracking",
        "percentunit",
        "Entries divided by the table's limit. When the table is full, new connections are dropped "
        "silently.",
        (
            f"{node('node_nf_conntrack_entries')} / {node('node_nf_conntrack_entries_limit')}",
            "{{instance}}",
        ),
        maximum=1,
        no_value="not tracked",
    ),
    series(
        "Pressure",
        "percentunit",
        "Share of time in which at least one task of the host waited for a CPU, for memory or for a disk; of the host "
        "with the most.",
        *(
            (f"max(rate(node_pressure_{what}_waiting_seconds_total{{{NODE}}}[{R}]))", what)
            for what in ("cpu", "memory", "io")
        ),
        maximum=1,
        no_value="not reported by this kernel",
    ),
    series(
        "Packet backlog",
        "suffix:/s",
        "Squeezed: the kernel left packets for its next round, because its time slice ended. Dropped: the "
        "input queue was full; this includes loopback traffic.",
        (node_rate("node_softnet_times_squeezed_total"), "squeezed"),
        (node_rate("node_softnet_dropped_total"), "dropped"),
        soft_maximum=1,
    ),
)

KERNEL = Board(
    "kernel",
    "Kernel and network",
    "What did the kernel do to connections before the server saw them? The first rows show the server's "
    "network namespace, the last its host.",
    (("Counted", EVER), ("Accept path", ACCEPT), ("Host (node_exporter)", HOST)),
    node=True,
    # Without node_exporter its panels are empty.
    collapsed=("Host (node_exporter)",),
)
