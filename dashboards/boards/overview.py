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

# By job, for an instance that is down exports nothing.
TARGETS = f"up{{{J}}} and on (job) towline_build_info{{{J}}}"

GLANCE = (
    stat(
        "Up",
        "none",
        "Instances that answer their scrapes, of those that should.",
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
        "Share of the connection limit that is still free.",
        (f"1 - {CONNECTIONS} / sum({gauge('towline_connections_limit')})", "free"),
        thresholds=((None, "red"), (0.1, "orange"), (0.25, "green")),
    ),
    stat("Lines/s", "short", "Lines answered a second.", (total_rate(LINES), "lines")),
    stat(
        "Success",
        "percentunit",
        "Share of lines with a normal reply. The objective is 99.9 %.",
        (per(OK, total_rate(LINES)), "ok"),
        thresholds=((None, "red"), (0.999, "orange"), (0.9995, "green")),
        decimals=2,
        no_value="no lines",
    ),
    stat(
        "p99 latency",
        "s",
        "99 % of batches were served within this, from arriving in the line stack to the reply.",
        # Without lines it is no number, and that is not more than nothing.
        (f"{quantile(0.99)} > 0", "p99"),
        thresholds=((None, "green"), (0.005, "orange"), (0.05, "red")),
        no_value="no lines",
    ),
    stat(
        "Write waiters",
        "short",
        "Mean number of connections whose peer does not take its replies: back-pressure.",
        (total_rate("towline_io_wait_seconds_total", 'direction="write"'), "waiting"),
        decimals=1,
    ),
    stat(
        "Draining",
        "none",
        "Instances that finish what they have and take nothing new.",
        (f"sum({gauge('towline_draining')})", "draining"),
        thresholds=((None, "green"), (1, "orange")),
    ),
)

TRAFFIC = (
    series(
        "Lines by result",
        "ops",
        "Lines answered a second, by how they ended.",
        (total_rate(LINES, by="result"), "{{result}}"),
        stack=True,
        colors=RESULT_COLORS,
    ),
    series(
        "Throughput",
        "Bps",
        "Bytes of lines read and of replies written a second.",
        (total_rate("towline_read_bytes_total"), "read"),
        (total_rate("towline_written_bytes_total"), "written"),
    ),
    series(
        "Connections opened and closed",
        "cps",
        "A gap that stays means that the number of connections grows or shrinks.",
        (total_rate("towline_connections_accepted_total"), "opened"),
        (total_rate("towline_connections_closed_total"), "closed"),
    ),
)

ERRORS = (
    series(
        "Failed lines",
        "ops",
        "Lines answered with an error line: timeout, overload or a failing service.",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
    series(
        "Abnormal closes",
        "cps",
        "Connections that did not end by the peer's own end or by a drain.",
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
        "Refused before service because the server was full.",
        (total_rate("towline_connections_rejected_total", by="reason"), "{{reason}}"),
        soft_maximum=1,
    ),
)

LATENCY = (
    series(
        "Latency quantiles",
        "s",
        "From a batch's arrival in the line stack to its reply, waits for a permit included.",
        *((quantile(at), name) for at, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))),
        width=12,
        logarithm=10,
    ),
    heatmap(
        "Latency distribution",
        "s",
        "Look for a second band: a second mode hides behind every quantile.",
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
        "1 is the limit. Which one comes first?",
        (f"max({gauge('towline_connections_active')} / {gauge('towline_connections_limit')})", "connections"),
        (f"max({gauge('towline_concurrency_in_use')} / {gauge('towline_concurrency_limit')})", "permits"),
        (f"max({DESCRIPTORS})", "descriptors"),
        (f"max({rate('towline_worker_busy_seconds_total')})", "busiest worker"),
    ),
    series(
        "Connections waiting for the socket",
        "short",
        "Read: the peer says nothing, mostly harmless. Write: the peer does not take its replies.",
        (f"sum by (direction) ({gauge('towline_io_waiting')})", "{{direction}}"),
        colors=DIRECTION_COLORS,
    ),
    series(
        "CPU by instance",
        "percentunit",
        "100 % is one core.",
        (own(rate("process_cpu_seconds_total")), "{{instance}}"),
    ),
)

OVERVIEW = Board(
    "overview",
    "Overview",
    "Is the service healthy, and if not, which dashboard comes next? The golden signals, a row each.",
    (
        ("At a glance", GLANCE),
        ("Traffic", TRAFFIC),
        ("Errors", ERRORS),
        ("Latency", LATENCY),
        ("Saturation", SATURATION),
    ),
)
