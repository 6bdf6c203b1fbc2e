"""Tables of the overview: which alerts fire, and how each instance does."""

import rules
from panels import J, gauge, per, quantile, rate, table, total_rate

DELAY = "towline_scheduling_delay_seconds"
OPEN = gauge("towline_connections_active")
WRITE_WAIT = total_rate("towline_io_wait_seconds_total", 'direction="write"', by="instance")

# Selected by job, because an instance that is down exports no towline_build_info.
TARGETS = f"up{{{J}}} and on (job) towline_build_info{{{J}}}"

UP = f"sum by (instance) ({TARGETS})"

ALERTS = table(
    "Alerts",
    "Alerts that fire, and those whose condition holds and whose waiting time (`for`) has not passed.",
    # Alerts of a job or of all have no instance: the empty value matches too.
    (
        "max by (alertname, severity, instance, alertstate) "
        '(ALERTS{alertname=~"Towline.*", job=~"$job|", instance=~"$instance|"})',
        "",
    ),
    columns={
        "alertname": "Alert",
        "severity": "Severity",
        "instance": "Instance",
        "alertstate": "State",
    },
    cell_words={
        "State": {"firing": ("firing", "red"), "pending": ("pending", "orange")},
        "Severity": {"page": ("page", "red"), "ticket": ("ticket", "orange")},
    },
    no_value="no alerts",
    width=9,
)

INSTANCES = table(
    "Instances",
    "One row for each instance; what is in red needs a look first. A click on an instance shows only that one.",
    # 2 is an instance that is up and drains.
    (f"{UP} + sum by (instance) ({gauge('towline_draining')}) or {UP}", ""),
    (f"sum by (instance) ({OPEN})", ""),
    (f"max by (instance) ({OPEN} / {gauge('towline_connections_limit')})", ""),
    (total_rate("towline_lines_processed_total", by="instance"), ""),
    (quantile(0.99, "instance"), ""),
    (quantile(0.99, "instance", DELAY), ""),
    (f"max by (instance) ({rate('towline_worker_busy_seconds_total')})", ""),
    (per(WRITE_WAIT, f"sum by (instance) ({OPEN})"), ""),
    (f"sum by (instance, version) ({gauge('towline_build_info')})", ""),
    columns={
        "instance": "Instance",
        "Value #A": "State",
        "Value #B": "Open",
        "Value #C": "Of limit",
        "Value #D": "Lines/s",
        "Value #E": "p99 in the stack",
        "Value #F": "p99 delay",
        "Value #G": "Busiest worker",
        "Value #H": "Write waiters",
        "version": "Version",
    },
    cells={
        "Of limit": ((None, "text"), (0.75, "orange"), (rules.CONNECTIONS, "red")),
        "p99 in the stack": ((None, "text"), (rules.TIME_IN_STACK, "red")),
        "p99 delay": ((None, "text"), (rules.SLOW, "orange"), (rules.LATE, "red")),
        "Busiest worker": ((None, "text"), (rules.BUSY, "red")),
        "Write waiters": ((None, "text"), (0.01, "orange"), (rules.STALLED, "red")),
    },
    cell_words={"State": {"0": ("down", "red"), "1": ("up", "green"), "2": ("draining", "orange")}},
    cell_units={
        "Open": "short",
        "Of limit": "percentunit",
        "Lines/s": "short",
        "p99 in the stack": "s",
        "p99 delay": "s",
        "Busiest worker": "percentunit",
        "Write waiters": "percentunit",
    },
    sorted_by="Of limit",
    width=15,
)
