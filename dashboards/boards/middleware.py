"""Which layer delays lines, and which fails them?"""

import rules
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
    timeline,
    total_rate,
)

LINES = "towline_lines_processed_total"
BATCHES = "towline_batches_total"
SECONDS = "towline_batch_duration_seconds"

STACK = (
    table(
        "What each instance runs",
        "Workload, framing and flush policy of each instance. Different values mean a rollout in progress, "
        "or instances whose configurations have diverged.",
        (gauge("towline_config_info"), ""),
        columns={"instance": "Instance", "workload": "Workload", "framing": "Framing", "flush": "Flush"},
        width=12,
    ),
    table(
        "Versions",
        "Version and revision of each instance.",
        (gauge("towline_build_info"), ""),
        columns={"instance": "Instance", "version": "Version", "revision": "Revision"},
        width=12,
    ),
    series(
        "Reloads",
        "short",
        "Configuration reloads by result. After an error the previous configuration stays in force.",
        (
            f"sum by (result) (increase(towline_config_reloads_total{{{J}}}[{R}]))",
            "{{result}}",
        ),
        colors={"error": "red", "ok": "green"},
        width=12,
        soft_maximum=1,
    ),
    timeline(
        "Configuration in force",
        "Red while the last reload failed, so that an older configuration is in force.",
        (gauge("towline_config_last_reload_successful"), "{{instance}}"),
        words={"0": ("last reload failed", "red"), "1": ("as loaded", "green")},
        width=12,
    ),
)

BATCHING = (
    series(
        "Lines per batch",
        "none",
        "Lines received per read; a batch is served as a unit. 1 when clients wait for each reply, hundreds "
        "when they pipeline.",
        (per(total_rate("towline_lines_received_total"), total_rate(BATCHES)), "lines"),
        decimals=1,
    ),
    series("Batches", "suffix:/s", "Batches received per second.", (total_rate(BATCHES), "batches")),
    series(
        "Received and answered",
        "suffix:lines/s",
        "Lines per second into and out of the stack. They differ while lines wait in the stack.",
        (total_rate("towline_lines_received_total"), "received"),
        (total_rate(LINES), "answered"),
    ),
)

TIME = (
    series(
        "Time in the stack",
        "s",
        "From a batch's arrival in the line stack to its reply, including waits for a concurrency permit. "
        "Waiting in the kernel is not included: clients see more.",
        (per(total_rate(SECONDS + "_sum"), total_rate(SECONDS + "_count")), "mean"),
        (quantile(0.99), "p99"),
        lines=((rules.TIME_IN_STACK, "red"),),
    ),
    series(
        "Batches in the stack",
        "short",
        "Mean number of batches being served (arrivals times time in the stack, Little's law).",
        (total_rate(SECONDS + "_sum"), "in the stack"),
    ),
    series(
        "Lines failed by layer",
        "suffix:lines/s",
        "timeout: timeouts.request passed. shed: refused at limits.concurrency or under overload. error: "
        "the workload failed.",
        (total_rate(LINES, 'result!="ok"', by="result"), "{{result}}"),
        colors=RESULT_COLORS,
        soft_maximum=1,
    ),
)

LIMIT = (
    series(
        "Permits in use",
        "percentunit",
        "Batches that hold a concurrency permit, divided by limits.concurrency, of the instance with the most. A "
        "workload that never waits, such as echo, uses at most one per thread.",
        (
            f"max({gauge('towline_concurrency_in_use')} / {gauge('towline_concurrency_limit')})",
            "in use",
        ),
        maximum=1,
        width=12,
        lines=((rules.PERMITS, "red"),),
    ),
    series(
        "Waiting for a permit",
        "short",
        "Mean number of connections whose batch waits for a concurrency permit.",
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
        "CPU time spent on SHA-256; 100 % is one core.",
        (f"sum by (instance) ({rate('towline_hash_seconds_total')})", "{{instance}}"),
    ),
    series(
        "Bytes hashed",
        "Bps",
        "Bytes hashed per second.",
        (total_rate("towline_hashed_bytes_total"), "hashed"),
    ),
    series(
        "Hash time per byte",
        "s",
        "CPU time of SHA-256 per byte. Higher for short lines, because every line is padded to blocks of "
        "64 bytes.",
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
    "Which layer of the stack delays lines, and which fails them?",
    (
        ("Stack", STACK),
        ("Batching", BATCHING),
        ("Time and failures", TIME),
        ("Concurrency limit", LIMIT),
        ("SHA-256", HASHING),
    ),
)
