"""Is the work spread evenly, and which resource of the process runs out first?"""

import rules
from panels import (
    CONNECTIONS,
    R,
    Board,
    band,
    gauge,
    own,
    per,
    quantile,
    rate,
    series,
    table,
    timeline,
    total_rate,
)

UTILISATION = (
    series(
        "Busy share of workers",
        "percentunit",
        "Share of time in which a worker thread was not waiting for work, of the busiest, the median and the least busy "
        "worker. 100 % is a full core.",
        *band(rate("towline_worker_busy_seconds_total")),
        maximum=1,
        lines=((rules.BUSY, "red"),),
    ),
    series(
        "CPU",
        "percentunit",
        "CPU time used, user and system; 100 % is one core.",
        (own(rate("process_cpu_seconds_total")), "{{instance}}"),
    ),
    series(
        "CPU per line",
        "s",
        "CPU time of the whole process divided by lines answered.",
        (
            per(
                f"sum{own(rate('process_cpu_seconds_total'))}",
                total_rate("towline_lines_processed_total"),
            ),
            "per line",
        ),
    ),
)

DELAY = "towline_scheduling_delay_seconds"
LATE_BOUND = f'le="{rules.SLOW}"'

NOT_SERVING = 'state!="serving"'

DELAYS = (
    series(
        "Scheduling delay, p99",
        "s",
        "99 % of what was ready to run waited at most this time for its thread. The lines are the delays that "
        "TowlineThreadsSlow and TowlineThreadsLate count.",
        (quantile(0.99, "instance", DELAY), "{{instance}}"),
        logarithm=10,
        lines=((rules.SLOW, "orange"), (rules.LATE, "red")),
        width=8,
    ),
    series(
        "Late workers",
        "short",
        f"Mean number of workers that are more than {rules.SLOW * 1000:g} ms late. TowlineThreadsSlow fires for one "
        "that is late half of the time, or for a tenth of all.",
        (
            # Twenty samples of each worker per second.
            f"sum by (instance) ({rate(DELAY + '_count')}) / 20"
            f" - sum by (instance) ({rate(DELAY + '_bucket', LATE_BOUND)}) / 20",
            "{{instance}}",
        ),
        soft_maximum=1,
        width=8,
    ),
    table(
        "Busiest workers",
        "The ten workers that were busy for the largest share of the time.",
        (f"topk(10, {rate('towline_worker_busy_seconds_total')})", ""),
        columns={"instance": "Instance", "worker": "Worker", "Value": "Busy"},
        cells={"Busy": ((None, "text"), (rules.BUSY, "red"))},
        cell_units={"Busy": "percentunit"},
        sorted_by="Busy",
        width=8,
    ),
)

BALANCE = (
    series(
        "Connections of workers",
        "short",
        "Open connections of the worker with the most, the median and the fewest. A new connection goes to the worker "
        "with the fewest.",
        *band(gauge("towline_worker_connections")),
    ),
    series(
        "Imbalance of connections",
        "none",
        "Connections of the worker with the most, divided by the mean. 1 is an even distribution.",
        (
            per(
                f"max by (instance) ({gauge('towline_worker_connections')})",
                f"avg by (instance) ({gauge('towline_worker_connections')})",
            ),
            "{{instance}}",
        ),
        decimals=2,
    ),
    series(
        "Imbalance of work",
        "none",
        "Busy share of the busiest worker, divided by the mean. A few heavy connections show here, while "
        "the panel on the left stays even.",
        (
            per(
                f"max by (instance) ({rate('towline_worker_busy_seconds_total')})",
                f"avg by (instance) ({rate('towline_worker_busy_seconds_total')})",
            ),
            "{{instance}}",
        ),
        decimals=2,
    ),
)

RESOURCES = (
    series(
        "Resident memory",
        "bytes",
        "Resident memory of all processes of an instance. Does not include the kernel's socket buffers.",
        (own(gauge("process_resident_memory_bytes")), "{{instance}}"),
    ),
    series(
        "Memory per connection",
        "bytes",
        "Resident memory beyond that at the start of the server, divided by open connections. Means something from some "
        "thousand connections on.",
        (
            f"clamp_min(sum{own(gauge('process_resident_memory_bytes'))} - "
            f"sum({gauge('towline_resident_base_bytes')}), 0) / ({CONNECTIONS} > 0)",
            "per connection",
        ),
    ),
    series(
        "Descriptors",
        "percentunit",
        "Open descriptors divided by the limit.",
        (own(f"{gauge('process_open_fds')} / {gauge('process_max_fds')}"), "{{instance}}"),
        maximum=1,
        lines=((rules.DESCRIPTORS, "red"),),
    ),
    timeline(
        "Draining",
        "Instances that are stopping.",
        (gauge("towline_draining"), "{{instance}}"),
        words={"0": ("no", "#8e8e8e"), "1": ("draining", "blue")},
        width=6,
        height=7,
    ),
    timeline(
        "Worker processes started again",
        "Processes that crashed or were killed, and were started again within the interval. Their connections were lost.",
        (
            f"sum by (instance) (increase({gauge('towline_worker_restarts_total')}[{R}])) > bool 0",
            "{{instance}}",
        ),
        words={"0": ("no", "#8e8e8e"), "1": ("started again", "red")},
        width=6,
        height=7,
    ),
    series(
        "Worker processes that do not serve",
        "short",
        "Processes that stand still (unresponsive), or that start, have ended or drain (missing). "
        "Clients are served by the others.",
        (f"sum by (state) ({gauge('towline_worker_processes', NOT_SERVING)})", "{{state}}"),
        soft_maximum=1,
        width=6,
        height=7,
    ),
    series(
        "Scrape time",
        "s",
        "Duration of a scrape of all metrics, measured by Prometheus.",
        (own(gauge("scrape_duration_seconds")), "{{instance}}"),
        width=6,
        height=7,
    ),
)

WORKERS = Board(
    "workers",
    "Workers and process",
    "Is the work spread evenly over the workers, and which resource of the process runs out first?",
    (
        ("Utilisation", UTILISATION),
        ("Lateness", DELAYS),
        ("Balance", BALANCE),
        ("Resources", RESOURCES),
    ),
)
