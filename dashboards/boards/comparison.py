"""What does one workload cost compared with another?"""

from panels import (
    J,
    WORKLOAD,
    WORKLOAD_LEGEND,
    Board,
    by_workload,
    gauge,
    per,
    quantile,
    rate,
    series,
    table,
    with_workload,
)

LINES = by_workload(rate("towline_lines_processed_total"))
CPU = by_workload(rate("process_cpu_seconds_total"))
OPEN = by_workload(gauge("towline_connections_active"))
IO_WAIT = by_workload(rate("towline_io_wait_seconds_total", 'direction="write"'))
CONNECTION_TIME = by_workload(rate("towline_connection_state_seconds_total"))
READ = by_workload(rate("towline_read_bytes_total"))
RECEIVED = by_workload(rate("towline_lines_received_total"))
FAILED = by_workload(rate("towline_lines_processed_total", 'result!="ok"'))
BATCHES = by_workload(rate("towline_batches_total"))
BUCKETS = with_workload(rate("towline_batch_duration_seconds_bucket"))


def compared(title, unit, description, expression, **rest):
    return series(title, unit, description, (expression, WORKLOAD_LEGEND), **rest)


INSTANCES = (
    table(
        "Instances compared",
        "Instances with the same workload, framing and flush policy form one group, which is one series "
        "on the panels below.",
        (f"count by ({WORKLOAD}) (towline_config_info{{{J}}})", ""),
        columns={"workload": "Workload", "framing": "Framing", "flush": "Flush", "Value": "Instances"},
        width=24,
        height=5,
    ),
)

WORK = (
    compared("Lines", "suffix:lines/s", "Lines answered per second.", LINES),
    compared("Connections", "short", "Open connections.", OPEN),
    compared("Bytes read", "Bps", "Bytes of lines read per second.", READ),
)

COST = (
    compared("CPU", "percentunit", "CPU time used; 100 % is one core.", CPU),
    compared(
        "CPU per line",
        "s",
        "CPU time per line. Comparable only between groups with similar lines per batch.",
        per(CPU, LINES),
    ),
    compared(
        "CPU per line, relative to the cheapest",
        "none",
        "CPU per line divided by that of the group with the least; the scale is logarithmic.",
        # `> 0` leaves out a group whose CPU time rounds to 0: dividing by it would be infinite.
        f"({per(CPU, LINES)}) / scalar(min({per(CPU, LINES)} > 0))",
        decimals=1,
        logarithm=2,
    ),
)

SERVICE = (
    compared(
        "p50 time in the stack",
        "s",
        "Half of the batches took at most this time in the line stack. Waiting in the kernel, and for a "
        "CPU before the read, is not included: clients see more.",
        quantile(0.5, WORKLOAD, buckets=BUCKETS),
    ),
    compared(
        "p99 time in the stack",
        "s",
        "99 % of the batches took at most this time in the line stack.",
        quantile(0.99, WORKLOAD, buckets=BUCKETS),
    ),
    compared(
        "Lines per batch",
        "none",
        "Lines received per read. A batch of many lines takes longer in the stack than one of few.",
        per(RECEIVED, BATCHES),
        decimals=1,
    ),
    compared(
        "Write wait share",
        "percentunit",
        "Share of connection time spent waiting for clients to read their replies.",
        per(IO_WAIT, CONNECTION_TIME),
        width=12,
        maximum=1,
    ),
    compared(
        "Failed share",
        "percentunit",
        "Share of lines answered with an error line.",
        per(FAILED, LINES),
        width=12,
        soft_maximum=0.01,
    ),
)

COMPARISON = Board(
    "comparison",
    "Workload comparison",
    "What does one workload cost compared with another? Run two instances with different workloads "
    "under the same load.",
    (("Instances", INSTANCES), ("Work", WORK), ("Cost", COST), ("Service", SERVICE)),
)
