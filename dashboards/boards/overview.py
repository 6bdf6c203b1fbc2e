"""Is the service healthy, and if not, which dashboard comes next?"""

from panels import (
    CONNECTIONS,
    DIRECTION_COLORS,
    J,
    RESULT_COLORS,
    Board,
    gauge,
    heatmap,
    own,
    per,
    quantile,
    rate,
    series,
    stat,
    table,
    total_rate,
)

LINES = "towline_lines_processed_total"
DELAY = "towline_scheduling_delay_seconds"
OK = total_rate(LINES, 'result="ok"')

# Selected by job, because an instance that is down exports no towline_build_info.
TARGETS = f"up{{{J}}} and on (job) towline_build_info{{{J}}}"

GLANCE = (
    stat(
        "Up",
        "none",
        "Instances that answer scrapes, and instances that Prometheus knows.",
        (f"sum({TARGETS})", "up"),
        (f"count({TARGETS})", "expected"),
    ),
    stat(
        "Connections",
        "short",
        "Open connections.",
        (f"sum({gauge('towline_connections_active')})", "open"),
        link="connections",
    ),
    stat(
        "Headroom",
        "percentunit",
        "Share of the connection limit that is free, of the instance with the least. "
        "TowlineConnectionsNearLimit fires below 10 %.",
        (
            f"min(1 - {gauge('towline_connections_active')} / {gauge('towline_connections_limit')})",
            "free",
        ),
        thresholds=((None, "red"), (0.1, "orange"), (0.25, "green")),
        link="connections",
    ),
    stat("Lines/s", "short", "Lines answered per second.", (total_rate(LINES), "lines"), link="middleware"),
    stat(
        "Success",
        "percentunit",
        "Share of lines answered without an error line. The objective is 99.9 %.",
        (per(OK, total_rate(LINES)), "ok"),
        thresholds=((None, "red"), (0.999, "orange"), (0.9995, "green")),
        decimals=2,
        no_value="no lines",
    ),
    stat(
        "p99 in the stack",
        "s",
        "99 % of batches took at most this time in the line stack. Waiting in the kernel, and for a CPU "
        "before the read, is not included: clients see more.",
        # Without lines the quantile is NaN, which `> 0` drops.
        (f"{quantile(0.99)} > 0", "p99"),
        no_value="no lines",
        link="middleware",
    ),
    stat(
        "Scheduling delay",
        "s",
        "99 % of what was ready to run waited at most this time for its thread, of the slowest instance. Clients "
        "wait for that beside the time in the stack.",
        (f"max({quantile(0.99, 'instance', DELAY)})", "p99"),
        thresholds=((None, "green"), (0.05, "orange"), (0.5, "red")),
        no_value="no lines",
        link="workers",
    ),
    stat(
        "Write waiters",
        "percentunit",
        "Share of connections whose client does not read its replies, so that back-pressure applies; mean.",
        (per(total_rate("towline_io_wait_seconds_total", 'direction="write"'), CONNECTIONS), "waiting"),
        thresholds=((None, "green"), (0.01, "orange"), (0.1, "red")),
        decimals=1,
        link="connections",
    ),
    stat(
        "Draining",
        "none",
        "Instances that are stopping: they finish open connections and are not ready.",
        (f"sum({gauge('towline_draining')})", "draining"),
        thresholds=((None, "green"), (1, "orange")),
    ),
)

TRAFFIC = (
    series(
        "Lines by result",
        "suffix: lines/s",
        "Lines answered per second, by result.",
        # Without results that do not occur: a stack draws them all.
        (f"{total_rate(LINES, by='result')} > 0", "{{result}}"),
        stack=True,
        no_value="no lines",
        colors=RESULT_COLORS,
    ),
    series(
        "Throughput",
        "Bps",
        "Bytes of lines read and bytes of replies written per second.",
        (total_rate("towline_read_bytes_total"), "read"),
        (total_rate("towline_written_bytes_total"), "written"),
    ),
    series(
        "Connections opened and closed",
        "suffix: conn/s",
        "Connections per second. While the two rates differ, the number of open connections changes.",
        (total_rate("towline_connections_accepted_total"), "opened"),
        (total_rate("towline_connections_closed_total"), "closed"),
    ),
)

ERRORS = (
    series(
        "Failed lines",
        "suffix: lines/s",
        "Lines answered with an error line, by result: timeout, shed (overload) or error (the workload).",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
    series(
        "Abnormal closes",
        "suffix: conn/s",
        "Connections closed per second for any reason but the client's orderly close, a drain, an age or an operator.",
        (
            total_rate(
                "towline_connections_closed_total", 'reason!~"peer_eof|drain|admin|max_age"', by="reason"
            )
            + " > 0",
            "{{reason}}",
        ),
        no_value="none",
    ),
    series(
        "Rejected connections",
        "suffix: conn/s",
        "Connections refused per second, by reason: connection limit, accept rate, per-address limit, "
        "memory or descriptors.",
        (total_rate("towline_connections_rejected_total", by="reason"), "{{reason}}"),
        soft_maximum=1,
    ),
)

STACK_TIME = (
    series(
        "Quantiles",
        "s",
        "From a batch's arrival in the line stack to its reply, including waits for a concurrency permit. "
        "Waiting in the kernel and for the thread is not included: clients see more.",
        *((quantile(at), name) for at, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))),
        width=8,
        logarithm=10,
    ),
    series(
        "Scheduling delay",
        "s",
        "How long what is ready to run waits until its thread runs it: a busy thread, other programs on the host, "
        "a throttled control group, a process that was stopped.",
        *(
            (quantile(at, metric=DELAY), name)
            for at, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
        ),
        width=8,
        logarithm=10,
    ),
    heatmap(
        "Distribution",
        "s",
        "Batches by their time in the line stack. A second band is a second group of slower batches, which "
        "quantiles do not show.",
        (
            f"sum by (le) (increase(towline_batch_duration_seconds_bucket{{{J}}}[$__rate_interval]))",
            "{{le}}",
        ),
        width=8,
    ),
)

DESCRIPTORS = own(f"{gauge('process_open_fds')} / {gauge('process_max_fds')}")

SATURATION = (
    series(
        "Use of limits",
        "percentunit",
        "Use divided by limit, of the instance with the highest value. The highest line is the resource that "
        "runs out first.",
        (f"max({gauge('towline_connections_active')} / {gauge('towline_connections_limit')})", "connections"),
        (f"max({gauge('towline_concurrency_in_use')} / {gauge('towline_concurrency_limit')})", "permits"),
        (f"max({DESCRIPTORS})", "descriptors"),
        (f"max({rate('towline_worker_busy_seconds_total')})", "busiest worker"),
        maximum=1,
    ),
    series(
        "Connections waiting for the socket",
        "short",
        "Now. read: the client sends nothing, which is normal. write: the client does not read its replies.",
        (f"sum by (direction) ({gauge('towline_io_waiting')})", "{{direction}}"),
        colors=DIRECTION_COLORS,
    ),
    series(
        "CPU by instance",
        "percentunit",
        "CPU time used; 100 % is one core.",
        (own(rate("process_cpu_seconds_total")), "{{instance}}"),
    ),
)

OPEN = gauge("towline_connections_active")
INSTANCES = (
    table(
        "Instances",
        "One row for each instance; what is in red needs a look first.",
        (f"sum by (instance) ({OPEN})", ""),
        (f"max by (instance) ({OPEN} / {gauge('towline_connections_limit')})", ""),
        (f"sum by (instance) ({rate(LINES)})", ""),
        (f"{quantile(0.99, 'instance')}", ""),
        (f"{quantile(0.99, 'instance', DELAY)}", ""),
        (f"max by (instance) ({rate('towline_worker_busy_seconds_total')})", ""),
        (
            "sum by (instance) ("
            + rate("towline_io_wait_seconds_total", 'direction="write"')
            + f") / (sum by (instance) ({OPEN}) > 0)",
            "",
        ),
        (f"sum by (instance, version) ({gauge('towline_build_info')})", ""),
        columns={
            "instance": "Instance",
            "version": "Version",
            "Value #A": "Open",
            "Value #B": "Of limit",
            "Value #C": "Lines/s",
            "Value #D": "p99 in the stack",
            "Value #E": "p99 scheduling delay",
            "Value #F": "Busiest worker",
            "Value #G": "Write waiters",
        },
        cells={
            "Of limit": ((None, "text"), (0.75, "orange"), (0.9, "red")),
            "p99 scheduling delay": ((None, "text"), (0.05, "orange"), (0.5, "red")),
            "Busiest worker": ((None, "text"), (0.9, "red")),
            "Write waiters": ((None, "text"), (0.01, "orange"), (0.1, "red")),
        },
        cell_units={
            "Of limit": "percentunit",
            "Lines/s": "short",
            "p99 in the stack": "s",
            "p99 scheduling delay": "s",
            "Busiest worker": "percentunit",
            "Write waiters": "percentunit",
        },
        width=24,
    ),
)

OVERVIEW = Board(
    "overview",
    "Overview",
    "Is the service healthy, and if not, which dashboard comes next? One row for each golden signal.",
    (
        ("At a glance", GLANCE),
        ("Instances", INSTANCES),
        ("Traffic", TRAFFIC),
        ("Errors", ERRORS),
        ("Time in the line stack", STACK_TIME),
        ("Saturation", SATURATION),
    ),
)
