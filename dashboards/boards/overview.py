"""Is the service healthy, and if not, which dashboard comes next?"""

import rules
from panels import (
    CONNECTIONS,
    DIRECTION_COLORS,
    WEEK_AGO,
    J,
    RESULT_COLORS,
    WEEK_COLORS,
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

from .instances import ALERTS, INSTANCES, TARGETS

LINES = "towline_lines_processed_total"
DELAY = "towline_scheduling_delay_seconds"
FREE = round(1 - rules.CONNECTIONS, 6)
SUCCESS = round(1 - rules.FAILING, 6)
OK = total_rate(LINES, 'result="ok"')

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
        f"TowlineConnectionsNearLimit fires below {FREE:.0%}.",
        (
            f"min(1 - {gauge('towline_connections_active')} / {gauge('towline_connections_limit')})",
            "free",
        ),
        thresholds=((None, "red"), (FREE, "orange"), (0.25, "green")),
        link="connections",
    ),
    stat("Lines/s", "short", "Lines answered per second.", (total_rate(LINES), "lines"), link="middleware"),
    stat(
        "Success",
        "percentunit",
        "Share of lines answered without an error line. The objective is 99.9 %; TowlineLinesFailing fires below "
        f"{SUCCESS:.2%}.",
        (per(OK, total_rate(LINES)), "ok"),
        thresholds=((None, "red"), (SUCCESS, "orange"), (0.999, "green")),
        decimals=2,
        no_value="no lines",
    ),
    stat(
        "p99 in the stack",
        "s",
        "99 % of batches took at most this time in the line stack. Waiting in the kernel, and for a CPU "
        "before the read, is not included: clients see more.",
        # Without lines the quantile is NaN, which the comparison in it drops.
        (quantile(0.99), "p99"),
        thresholds=((None, "green"), (rules.TIME_IN_STACK, "red")),
        no_value="no lines",
        link="middleware",
    ),
    stat(
        "Scheduling delay",
        "s",
        "99 % of what was ready to run waited at most this time for its thread, of the slowest instance. Clients "
        "wait for that beside the time in the stack.",
        (f"max({quantile(0.99, 'instance', DELAY)})", "p99"),
        thresholds=((None, "green"), (rules.SLOW, "orange"), (rules.LATE, "red")),
        no_value="no connections",
        link="workers",
    ),
    stat(
        "Write waiters",
        "percentunit",
        "Share of connections whose client does not read its replies, so that back-pressure applies; mean of all "
        "instances. TowlineReadersStalled fires for one with more than half.",
        (per(total_rate("towline_io_wait_seconds_total", 'direction="write"'), CONNECTIONS), "waiting"),
        thresholds=((None, "green"), (0.01, "orange"), (rules.STALLED, "red")),
        decimals=1,
        link="connections",
    ),
)

TRAFFIC = (
    series(
        "Lines by result",
        "suffix:lines/s",
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
        "suffix:conn/s",
        "Connections per second. While the two rates differ, the number of open connections changes.",
        (total_rate("towline_connections_accepted_total"), "opened"),
        (total_rate("towline_connections_closed_total"), "closed"),
    ),
)

ERRORS = (
    series(
        "Failed lines",
        "suffix:lines/s",
        "Lines answered with an error line, by result: timeout, shed (overload) or error (the workload).",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
    series(
        "Abnormal closes",
        "suffix:conn/s",
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
        "suffix:conn/s",
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
        lines=((rules.TIME_IN_STACK, "red"),),
    ),
    series(
        "Scheduling delay",
        "s",
        "How long what is ready to run waits until its thread runs it: a busy thread, other programs on the host, "
        "a throttled control group, a process that was stopped. The lines are the delays that TowlineThreadsSlow "
        "and TowlineThreadsLate count.",
        *(
            (quantile(at, metric=DELAY), name)
            for at, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
        ),
        width=8,
        logarithm=10,
        lines=((rules.SLOW, "orange"), (rules.LATE, "red")),
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
        "runs out first. Alerts fire at the lines: connections and permits at the lower one.",
        (f"max({gauge('towline_connections_active')} / {gauge('towline_connections_limit')})", "connections"),
        (f"max({gauge('towline_concurrency_in_use')} / {gauge('towline_concurrency_limit')})", "permits"),
        (f"max({DESCRIPTORS})", "descriptors"),
        (f"max({rate('towline_worker_busy_seconds_total')})", "busiest worker"),
        maximum=1,
        lines=((rules.CONNECTIONS, "orange"), (rules.BUSY, "red")),
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

WEEK = (
    series(
        "Lines, and a week ago",
        "suffix:lines/s",
        "Lines answered per second, now and at the same time a week ago.",
        (total_rate(LINES), "now"),
        (total_rate(LINES, ago=WEEK_AGO), "a week ago"),
        colors=WEEK_COLORS,
    ),
    series(
        "Connections, and a week ago",
        "short",
        "Open connections, now and at the same time a week ago.",
        (f"sum({gauge('towline_connections_active')})", "now"),
        (f"sum({gauge('towline_connections_active', ago=WEEK_AGO)})", "a week ago"),
        colors=WEEK_COLORS,
    ),
    series(
        "p99 in the stack, and a week ago",
        "s",
        "99 % of batches took at most this time in the line stack, now and at the same time a week ago.",
        (quantile(0.99), "now"),
        (quantile(0.99, buckets=rate("towline_batch_duration_seconds_bucket", ago=WEEK_AGO)), "a week ago"),
        colors=WEEK_COLORS,
        no_value="no lines",
    ),
)

OVERVIEW = Board(
    "overview",
    "Overview",
    "Is the service healthy, and if not, which dashboard comes next? One row for each golden signal.",
    (
        ("At a glance", GLANCE),
        ("Alerts and instances", (ALERTS, INSTANCES)),
        ("Traffic", TRAFFIC),
        ("Errors", ERRORS),
        ("Time in the line stack", STACK_TIME),
        ("Saturation", SATURATION),
        ("Compared with a week ago", WEEK),
    ),
)
