"""What does one workload cost against another?"""

from panels import (
    J,
    WORKLOAD,
    WORKLOAD_LEGEND,
    Board,
    by_workload,
    gauge,
    per,
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


def quantile(at):
    buckets = with_workload(rate("towline_batch_duration_seconds_bucket"))
    return f"histogram_quantile({at}, sum by (le, {WORKLOAD}) ({buckets}))"


def compared(title, unit, description, expression, **rest):
    return series(title, unit, description, (expression, WORKLOAD_LEGEND), **rest)


WHO = (
    table(
        "Who is compared",
        "Instances with the same workload, framing and flush policy are summed.",
        (f"count by ({WORKLOAD}) (towline_config_info{{{J}}})", ""),
        columns={"workload": "Workload", "framing": "Framing", "flush": "Flush", "Value": "Instances"},
        width=24,
    ),
)

WORK = (
    compared("Lines", "ops", "Lines answered a second.", LINES),
    compared("Connections", "short", "Open connections.", OPEN),
    compared("Bytes read", "Bps", "Bytes of lines read a second.", READ),
)

COST = (
    compared("CPU", "percentunit", "100 % is one core.", CPU),
    compared(
        "CPU per line",
        "s",
        "Processor time a line costs. Only comparable where lines per batch are alike.",
        per(CPU, LINES),
    ),
    compared(
        "CPU per line, against the cheapest",
        "none",
        "1 is the cheapest of those shown.",
        # What used no time that the clock could see cost nothing, and nothing compares with that.
        f"({per(CPU, LINES)}) / scalar(min({per(CPU, LINES)} > 0))",
        decimals=1,
        logarithm=2,
    ),
)

FEEL = (
    compared("p50 latency", "s", "Half of the batches were served within this.", quantile(0.5)),
    compared("p99 latency", "s", "99 % of the batches were served within this.", quantile(0.99)),
    compared("Lines per batch", "none", "Lines one read gave.", per(RECEIVED, BATCHES), decimals=1),
    compared(
        "Write wait share",
        "percentunit",
        "Share of connection time spent waiting for peers to take their replies.",
        per(IO_WAIT, CONNECTION_TIME),
        width=12,
        maximum=1,
    ),
    compared(
        "Failed share",
        "percentunit",
        "Share of lines that were not answered normally.",
        per(FAILED, LINES),
        width=12,
        soft_maximum=0.01,
    ),
)

COMPARISON = Board(
    "comparison",
    "Workload comparison",
    "What does one workload cost against another? Run two instances with different workloads under "
    "the same load and look at them side by side.",
    (("Instances", WHO), ("Work", WORK), ("Cost", COST), ("As felt by the peers", FEEL)),
)
