"""Is the work spread evenly, and which resource of the process runs out first?"""

from panels import CONNECTIONS, R, Board, gauge, own, per, rate, series, total_rate

WORKER = "{{instance}} w{{worker}}"

UTILISATION = (
    series(
        "Busy share by worker",
        "percentunit",
        "Share of time in which a worker thread was not waiting for work. 100 % is a full core.",
        (rate("towline_worker_busy_seconds_total"), WORKER),
        maximum=1,
        many=True,
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
        "Connections by worker",
        "short",
        "Open connections of each worker. A new connection goes to the worker with the fewest.",
        (gauge("towline_worker_connections"), WORKER),
        many=True,
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
        "Resident memory divided by open connections. Includes the memory of the process itself, so it is "
        "meaningful only from some thousands of connections on.",
        (per(f"sum{own(gauge('process_resident_memory_bytes'))}", CONNECTIONS), "per connection"),
    ),
    series(
        "Descriptors",
        "percentunit",
        "Open descriptors divided by the limit.",
        (own(f"{gauge('process_open_fds')} / {gauge('process_max_fds')}"), "{{instance}}"),
        maximum=1,
    ),
    series(
        "Uptime",
        "s",
        "Time since the process started. A drop is a restart.",
        (f"time() - {own(gauge('process_start_time_seconds'))}", "{{instance}}"),
    ),
    series(
        "Worker restarts",
        "short",
        "Worker processes that crashed or were killed, and were started again. Their connections were lost.",
        (f"increase({gauge('towline_worker_restarts_total')}[{R}])", WORKER),
        soft_maximum=1,
        many=True,
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
