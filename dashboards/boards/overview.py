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
    total_rate,
)

LINES = "towline_lines_processed_total"
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
    ),
    stat(
        "Headroom",
        "percentunit",
        "Share of the connection limit that is free.",
        (f"1 - {CONNECTIONS} / sum({gauge('towline_connections_limit')})", "free"),
        thresholds=((None, "red"), (0.1, "orange"), (0.25, "green")),
    ),
    stat("Lines/s", "short", "Lines answered per second.", (total_rate(LINES), "lines")),
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
        thresholds=((None, "green"), (0.005, "orange"), (0.05, "red")),
        no_value="no lines",
    ),
    stat(
        "Write waiters",
        "short",
        "Mean number of connections whose client does not read its replies, so that back-pressure applies.",
        (total_rate("towline_io_wait_seconds_total", 'direction="write"'), "waiting"),
        decimals=1,
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
        "ops",
        "Lines answered per second, by result.",
        (total_rate(LINES, by="result"), "{{result}}"),
        stack=True,
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
        "cps",
        "Connections per second. While the two rates differ, the number of open connections changes.",
        (total_rate("towline_connections_accepted_total"), "opened"),
        (total_rate("towline_connections_closed_total"), "closed"),
    ),
)

ERRORS = (
    series(
        "Failed lines",
        "ops",
        "Lines answered with an error line, by result: timeout, shed (overload) or error (the workload).",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
    series(
        "Abnormal closes",
        "cps",
        "Connections closed per second for any reason but the client's orderly close and a drain.",
        (
            total_rate(
                "towline_connections_closed_total", 'reason!~"peer_eof|drain"', by="reason"
            )
            + " > 0",
            "{{reason}}",
        ),
        no_value="none",
    ),
    series(
        "Rejected connections",
        "cps",
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
        "Waiting in the kernel is not included: clients see more. Below 10 µs values are interpolated.",
        *((quantile(at), name) for at, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))),
        width=12,
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
        width=12,
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

OVERVIEW = Board(
    "overview",
    "Overview",
    "Is the service healthy, and if not, which dashboard comes next? One row for each golden signal.",
    (
        ("At a glance", GLANCE),
        ("Traffic", TRAFFIC),
        ("Errors", ERRORS),
        ("Time in the line stack", STACK_TIME),
        ("Saturation", SATURATION),
    ),
)
