"""Building blocks of the dashboards: panels, and the selectors that every query has.

A panel here has queries and appearance; `generate.py` adds positions, ids and the data source.
"""

from dataclasses import dataclass, field, replace

# Every selector has these matchers, so that the variables of a dashboard apply to every panel.
J = 'job=~"$job", instance=~"$instance"'
# node_exporter is another job on another port: its instances have their own variable.
NODE = 'instance=~"$node"'
# At least four scrapes, whatever the scrape interval is; never a fixed window.
R = "$__rate_interval"

CONNECTIONS = f"sum(towline_connections{{{J}}})"
WORKLOAD = "workload, framing, flush"
WORKLOAD_LEGEND = "{{workload}} {{framing}} {{flush}}"

# Each colour has one meaning on all dashboards: red is back-pressure or failure, blue is work.
STATE_COLORS = {
    "idle": "#8e8e8e",
    "read_wait": "yellow",
    "handshake": "purple",
    "ready": "light-blue",
    "service": "blue",
    "limit_wait": "orange",
    "push_wait": "light-red",
    "write_wait": "red",
    "closing": "dark-green",
}
DIRECTION_COLORS = {"read": "green", "write": "red"}
WEEK_COLORS = {"now": "green", "a week ago": "#8e8e8e"}
RESULT_COLORS = {"ok": "green", "timeout": "orange", "shed": "yellow", "error": "red"}


@dataclass(frozen=True)
class Panel:
    kind: str
    title: str
    unit: str
    description: str
    # Pairs of a query and its legend.
    queries: tuple
    stack: bool = False
    # Pairs of a lower bound and the colour from there on; None is the lowest.
    # Without one the figure has no colour: a colour means that it is good or bad.
    thresholds: tuple = ((None, "text"),)
    colors: dict = field(default_factory=dict)
    # Names of series that are limits and not measurements: drawn as dashed lines.
    limits: tuple = ()
    maximum: float | None = None
    # Minimum end of the axis. Without it Grafana scales a line of zeros to an arbitrary height.
    soft_maximum: float | None = None
    # Base of a logarithmic axis, on which zeros are not drawn.
    logarithm: int | None = None
    # Horizontal lines, pairs of a value and its colour: where alerts fire or the server acts.
    lines: tuple = ()
    decimals: int | None = None
    # Text of an empty panel, where no data means that nothing happened.
    no_value: str | None = None
    width: int | None = None
    # In rows of the grid; by default that of its kind.
    height: int | None = None
    # Values shown as text: {"1": ("yes", "orange")}.
    words: dict = field(default_factory=dict)
    # Colours of cells of a table: heading to thresholds, as `thresholds`.
    cells: dict = field(default_factory=dict)
    # Units of the columns of a table, by heading.
    cell_units: dict = field(default_factory=dict)
    # Values of columns shown as text, by heading, as `words`.
    cell_words: dict = field(default_factory=dict)
    # Heading of the column with the largest first.
    sorted_by: str | None = None
    # The dashboard that shows more: its uid without `towline-`.
    link: str | None = None
    # Columns of a table, label to heading. Other labels are hidden.
    columns: dict = field(default_factory=dict)


# A query with this suffix shows the same time of the week before.
WEEK_AGO = " offset 1w"


def rate(metric, matchers="", window=R, ago=""):
    """The rate of a counter, for the selected jobs and instances."""
    also = f", {matchers}" if matchers else ""
    return f"rate({metric}{{{J}{also}}}[{window}]{ago})"


def total_rate(metric, matchers="", by="", ago=""):
    """The summed rate of a counter, by labels or in total."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}({rate(metric, matchers, ago=ago)})"


def gauge(metric, matchers="", ago=""):
    also = f", {matchers}" if matchers else ""
    return f"{metric}{{{J}{also}}}{ago}"


def per(amount, unit):
    """A ratio, without a value where `unit` is 0: one infinite value would hide all others."""
    return f"{amount} / ({unit} > 0)"


def own(expression):
    """Keeps only towline's series of metrics that other programs export too (`process_…`)."""
    return f"({expression} and on (job, instance) towline_build_info{{{J}}})"


# The upper bound of the first bucket of each histogram. check.py compares them with what servers export.
FIRST_BOUNDS = {
    "towline_batch_duration_seconds": "0.000001",
    "towline_scheduling_delay_seconds": "0.000001",
    "towline_connection_duration_seconds": "0.001",
    "towline_command_duration_seconds": "0.000001",
    "towline_push_delay_seconds": "0.000001",
    "towline_tls_handshake_duration_seconds": "0.000001",
}


def quantile(at, by="", metric="towline_batch_duration_seconds", buckets=None):
    """A quantile of a histogram, over all instances or by labels. Default: the time of batches in the line
    stack.

    Without a value where it is in the first bucket, which only says that it is below the bound."""
    labels = f"le, {by}" if by else "le"
    buckets = buckets or rate(f"{metric}_bucket")
    return f"histogram_quantile({at}, sum by ({labels}) ({buckets})) > {FIRST_BOUNDS[metric]}"


def band(expression):
    """The least, the median and the most of many series: readable with three and with a hundred."""
    return (
        (f"max({expression})", "most"),
        (f"quantile(0.5, {expression})", "median"),
        (f"min({expression})", "least"),
    )


def with_workload(expression):
    """Adds the workload, framing and flush policy of an instance to its series, as labels."""
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


def timeline(title, description, *queries, **rest):
    """Facts that are 0 or 1, as bars in time."""
    return Panel("state-timeline", title, "none", description, queries, **rest)


def table(title, description, *queries, **rest):
    return Panel("table", title, "none", description, queries, **rest)


def wide(panel, width):
    """The same panel, `width` of the 24 columns wide."""
    return replace(panel, width=width)


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    # The question that the dashboard answers.
    description: str
    # Pairs of a row's title and its panels.
    rows: tuple
    # Whether the dashboard has a variable for node_exporter's instances.
    node: bool = False
    # Titles of rows that are closed until they are clicked.
    collapsed: tuple = ()
