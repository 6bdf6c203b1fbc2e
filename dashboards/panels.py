"""The vocabulary of the dashboards: panels, and the selectors that every query carries.

A panel here says what is asked and how it looks; `generate.py` adds what Grafana wants to know
besides (positions, numbers, the data source).
"""

from dataclasses import dataclass, field, replace

# Every selector carries these, so that the variables on top of a dashboard reach every panel.
J = 'job=~"$job", instance=~"$instance"'
# node_exporter is another job on another port: its instances have their own variable.
NODE = 'instance=~"$node"'
# At least four scrapes, whatever the scrape interval is; never a fixed window.
R = "$__rate_interval"

CONNECTIONS = f"sum(towline_connections{{{J}}})"
WORKLOAD = "workload, framing, flush"
WORKLOAD_LEGEND = "{{workload}} {{framing}} {{flush}}"

# One colour a meaning on every dashboard: red is back-pressure or failure, blue the server's work.
STATE_COLORS = {
    "idle": "#8e8e8e",
    "read_wait": "yellow",
    "handshake": "purple",
    "ready": "light-blue",
    "service": "blue",
    "limit_wait": "orange",
    "write_wait": "red",
    "closing": "dark-green",
}
DIRECTION_COLORS = {"read": "green", "write": "red"}
RESULT_COLORS = {"ok": "green", "timeout": "orange", "shed": "yellow", "error": "red"}


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    unit: str
    description: str
    # Pairs of a query and the legend of its series.
    queries: tuple
    stack: bool = False
    # Steps of (value from which it holds, colour); None is the lowest.
    thresholds: tuple = ((None, "green"),)
    colors: dict = field(default_factory=dict)
    # Series that are a bound, not a measurement: drawn as a dashed line.
    limits: tuple = ()
    maximum: float | None = None
    # The axis reaches at least to here: a line of zeros must not fill ten thousand per cent.
    soft_maximum: float | None = None
    # Each step of the axis is so many times the one before; what is 0 isn't drawn.
    logarithm: int | None = None
    # So many series that their last values would take the panel's room.
    many: bool = False
    decimals: int | None = None
    # What stands in an empty panel: nothing happened is not the same as nothing is known.
    no_value: str | None = None
    width: int | None = None
    # Values that are words: {"1": ("yes", "orange")}.
    words: dict = field(default_factory=dict)
    # Columns of a table: label to heading; the rest is hidden.
    columns: dict = field(default_factory=dict)


def rate(metric, matchers="", window=R):
    """The rate of a counter, over the variables' selection."""
    also = f", {matchers}" if matchers else ""
    return f"rate({metric}{{{J}{also}}}[{window}])"


def total_rate(metric, matchers="", by=""):
    """The summed rate of a counter, by labels or in all."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}({rate(metric, matchers)})"


def gauge(metric, matchers=""):
    also = f", {matchers}" if matchers else ""
    return f"{metric}{{{J}{also}}}"


def per(amount, unit):
    """A gap where there is nothing to divide by: one infinite value hides all others."""
    return f"{amount} / ({unit} > 0)"


def own(expression):
    """Of metrics that everything exports, only towline's: `$job` may select the others too."""
    return f"({expression} and on (job, instance) towline_build_info{{{J}}})"


def quantile(at, by=""):
    """A quantile of the time a batch took, over all instances or by labels."""
    labels = f"le, {by}" if by else "le"
    buckets = rate("towline_batch_duration_seconds_bucket")
    return f"histogram_quantile({at}, sum by ({labels}) ({buckets}))"


def with_workload(expression):
    """Gives the series of an instance the labels of what that instance is configured to do."""
    info = f"towline_config_info{{{J}}}"
    return f"{expression} * on (job, instance) group_left ({WORKLOAD}) {info}"


def by_workload(expression):
    return f"sum by ({WORKLOAD}) ({with_workload(expression)})"


def stat(title, unit, description, *queries, **rest):
    return Panel("stat", title, unit, description, queries, **rest)


def series(title, unit, description, *queries, **rest):
    return Panel("timeseries", title, unit, description, queries, **rest)


def heatmap(title, unit, description, *queries, **rest):
    return Panel("heatmap", title, unit, description, queries, **rest)


def table(title, description, *queries, **rest):
    return Panel("table", title, "none", description, queries, **rest)


def wide(panel, width):
    """The same panel, so many of the 24 columns wide."""
    return replace(panel, width=width)


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    # The question it answers.
    description: str
    # Pairs of a row's title and its panels.
    rows: tuple
    # Whether node_exporter's instances can be chosen.
    node: bool = False
