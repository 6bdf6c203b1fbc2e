"""Which layer holds lines back, and which fails them?"""

from panels import (
    RESULT_COLORS,
    J,
    R,
    Board,
    gauge,
    per,
    quantile,
    rate,
    series,
    table,
    total_rate,
)

LINES = "towline_lines_processed_total"
BATCHES = "towline_batches_total"
SECONDS = "towline_batch_duration_seconds"

STACK = (
    table(
        "What each instance runs",
        "Workload, framing and flush policy. More than one row of a kind means a rollout, or drift.",
        (gauge("towline_config_info"), ""),
        columns={"instance": "Instance", "workload": "Workload", "framing": "Framing", "flush": "Flush"},
        width=12,
    ),
    table(
        "Versions",
        "The binaries that run now.",
        (gauge("towline_build_info"), ""),
        columns={"instance": "Instance", "version": "Version", "revision": "Revision"},
        width=12,
    ),
    series(
        "Reloads",
        "short",
        "Attempts to load the configuration again, by result. After an error the old one goes on.",
        (
            f"sum by (result) (increase(towline_config_reloads_total{{{J}}}[{R}]))",
            "{{result}}",
        ),
        colors={"error": "red", "ok": "green"},
        width=12,
        soft_maximum=1,
    ),
    series(
        "Last reload failed",
        "short",
        "Instances that run with another configuration than the one that was asked for last.",
        (f"sum(1 - {gauge('towline_config_last_reload_successful')})", "failed"),
        colors={"failed": "red"},
        width=12,
        soft_maximum=1,
    ),
)

BATCHING = (
    series(
        "Lines per batch",
        "none",
        "The unit of service is what one read gave: 1 in ping-pong, hundreds in a flood.",
        (per(total_rate("towline_lines_received_total"), total_rate(BATCHES)), "lines"),
        decimals=1,
    ),
    series("Batches", "ops", "Batches a second.", (total_rate(BATCHES), "batches")),
    series(
        "Received and answered",
        "ops",
        "Lines a second in and out of the stack; apart only while lines wait inside.",
        (total_rate("towline_lines_received_total"), "received"),
        (total_rate(LINES), "answered"),
    ),
)

TIME = (
    series(
        "Time in the stack",
        "s",
        "From a batch's arrival to its reply.",
        (per(total_rate(SECONDS + "_sum"), total_rate(SECONDS + "_count")), "mean"),
        (quantile(0.99), "p99"),
    ),
    series(
        "Batches in the stack",
        "short",
        "Mean number being served: arrivals times time in the stack (Little's law).",
        (total_rate(SECONDS + "_sum"), "in the stack"),
    ),
    series(
        "Lines failed by layer",
        "ops",
        "timeout: the timeout layer. shed: load shedding. error: the workload itself.",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
)

LIMIT = (
    series(
        "Permits in use",
        "short",
        "Batches inside the concurrency limit. Workloads that never wait hardly use any.",
        (f"sum({gauge('towline_concurrency_in_use')})", "in use"),
        (f"sum({gauge('towline_concurrency_limit')})", "limit"),
        limits=("limit",),
        width=12,
    ),
    series(
        "Waiting for a permit",
        "short",
        "Mean number of connections whose batch waits for the concurrency limit.",
        (
            total_rate("towline_connection_state_seconds_total", 'state="limit_wait"'),
            "waiting",
        ),
        width=12,
        soft_maximum=1,
    ),
)

HASHING = (
    series(
        "Hashing",
        "percentunit",
        "Processor time spent on SHA-256; 100 % is one core.",
        (f"sum by (instance) ({rate('towline_hash_seconds_total')})", "{{instance}}"),
    ),
    series(
        "Bytes hashed",
        "Bps",
        "Bytes through SHA-256 a second.",
        (total_rate("towline_hashed_bytes_total"), "hashed"),
    ),
    series(
        "Hash time per byte",
        "s",
        "Short lines cost more a byte: a SHA-256 block is 64 bytes however short the line.",
        (
            per(total_rate("towline_hash_seconds_total"), total_rate("towline_hashed_bytes_total")),
            "per byte",
        ),
        no_value="nothing hashed",
    ),
)

MIDDLEWARE = Board(
    "middleware",
    "Middleware",
    "Which layer of the stack holds lines back, and which fails them?",
    (
        ("Stack", STACK),
        ("Batching", BATCHING),
        ("Time and failures", TIME),
        ("Concurrency limit", LIMIT),
        ("SHA-256", HASHING),
    ),
)
