"""Is the work spread evenly, and which resource of the process runs out first?"""

from panels import CONNECTIONS, R, Board, band, gauge, own, per, rate, series, timeline, total_rate

UTILISATION = (
    series(
        "Busy share of workers",
        "percentunit",
        "Share of time in which a worker thread was not waiting for work, of the busiest, the median and the least busy "
        "worker. 100 % is a full core.",
        *band(rate("towline_worker_busy_seconds_total")),
        maximum=1,
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
            f"max by (instance) ({gauge('towline_worker_connections')}) / "
            f"avg by (instance) ({gauge('towline_worker_connections')})",
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
            f"max by (instance) ({rate('towline_worker_busy_seconds_total')}) / "
            f"avg by (instance) ({rate('towline_worker_busy_seconds_total')})",
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
    ),
    timeline(
        "Draining",
        "Instances that are stopping.",
        (gauge("towline_draining"), "{{instance}}"),
        words={"0": ("no", "#8e8e8e"), "1": ("draining", "blue")},
    ),
    timeline(
        "Worker processes started again",
        "Processes that crashed or were killed, and were started again within the interval. Their connections were lost.",
        (
            f"sum by (instance) (increase({gauge('towline_worker_restarts_total')}[{R}])) > bool 0",
            "{{instance}}",
        ),
        words={"0": ("no", "#8e8e8e"), "1": ("started again", "red")},
    ),
    series(
        "Worker processes that do not serve",
        "short",
        "Processes that stand still (unresponsive), or that start, have ended or drain (missing). "
        "Clients are served by the others.",
        (own(gauge("towline_worker_processes", 'state!="serving"')), "{{state}}, {{instance}}"),
        soft_maximum=1,
        many=True,
    ),
    series(
        "Scrape time",
        "s",
        "Duration of a scrape of all metrics, measured by Prometheus.",
        (own(gauge("scrape_duration_seconds")), "{{instance}}"),
    ),
)

WORKERS = Board(
    "workers",
    "Workers and process",
    "Is the work spread evenly over the workers, and which resource of the process runs out first?",
    (
        ("Utilisation", UTILISATION),
        ("Balance", BALANCE),
        ("Resources", RESOURCES),
    ),
)
