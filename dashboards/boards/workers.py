"""Is the work spread evenly, and which resource of the process runs out first?"""

from panels import CONNECTIONS, R, Board, gauge, own, per, rate, series, total_rate

WORKER = "{{instance}} w{{worker}}"

UTILISATION = (
    series(
        "Busy share by worker",
        "percentunit",
        "Share of time a worker's thread was not waiting for work. 100 % is a full core.",
        (rate("towline_worker_busy_seconds_total"), WORKER),
        maximum=1,
        many=True,
    ),
    series(
        "CPU",
        "percentunit",
        "User and system; 100 % is one core.",
        (own(rate("process_cpu_seconds_total")), "{{instance}}"),
    ),
    series(
        "CPU per line",
        "s",
        "Processor time a line costs in all: the figure of efficiency.",
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
        "A new connection goes to the worker with the fewest.",
        (gauge("towline_worker_connections"), WORKER),
        many=True,
    ),
    series(
        "Imbalance of connections",
        "none",
        "The fullest worker over the mean: 1 is even.",
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
        "The busiest worker over the mean: few heavy connections show here, not on the left.",
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
        "Memory of the process. The kernel's socket buffers come on top.",
        (own(gauge("process_resident_memory_bytes")), "{{instance}}"),
    ),
    series(
        "Memory per connection",
        "bytes",
        "Resident memory over open connections; means little below a few thousand.",
        (per(f"sum{own(gauge('process_resident_memory_bytes'))}", CONNECTIONS), "per connection"),
    ),
    series(
        "Descriptors",
        "percentunit",
        "Open descriptors over the limit.",
        (own(f"{gauge('process_open_fds')} / {gauge('process_max_fds')}"), "{{instance}}"),
        maximum=1,
    ),
    series(
        "Uptime",
        "s",
        "Time since the process began; a fall is a restart.",
        (f"time() - {own(gauge('process_start_time_seconds'))}", "{{instance}}"),
    ),
    series(
        "Worker restarts",
        "short",
        "Processes that ended on their own and were started again; their connections were lost.",
        (f"increase({gauge('towline_worker_restarts_total')}[{R}])", WORKER),
        soft_maximum=1,
        many=True,
    ),
    series(
        "Scrape time",
        "s",
        "What reading all metrics takes, seen from Prometheus.",
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
