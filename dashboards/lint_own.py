"""Our own rules for dashboards, in the form of those of lint.py: each yields what it finds wrong."""

import re

import queries


def saturation_by_instance(dashboard):
    """A sum over a sum hides the one instance that is full."""
    for panel in queries.panels(dashboard):
        for target in panel["targets"]:
            if re.search(r"/\s*sum\((?:\w+_limit|process_max_fds)\b", target["expr"]):
                yield f"{panel['title']}: divides by a sum of limits; divide for each instance and take the least or most"


def stack_outline(dashboard):
    """The outline of a stacked series of zeros is drawn over the series below it."""
    for panel in queries.panels(dashboard):
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        if custom.get("stacking", {}).get("mode") == "normal" and custom.get("lineWidth") != 0:
            yield f"{panel['title']}: a stack with outlines"


def tile_color(dashboard):
    """A colour says that a figure is good or bad, so it needs thresholds."""
    for panel in queries.panels(dashboard):
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if panel["type"] == "stat" and len(steps) == 1 and steps[0]["color"] != "text":
            yield f"{panel['title']}: a colour without a threshold"


def link_exists(dashboard):
    uids = {path.stem for path in queries.DASHBOARDS}
    for panel in queries.panels(dashboard):
        defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
        of_columns = [p["value"] for one in overrides for p in one["properties"] if p["id"] == "links"]
        for link in [*panel.get("links", []), *defaults.get("links", []), *sum(of_columns, [])]:
            if link["title"] not in uids or f"/d/{link['title']}?" not in link["url"]:
                yield f"{panel['title']}: links to {link['title']}, which does not exist"


def instance_link(dashboard):
    """A series or a row of an instance leads to that instance."""
    for panel in queries.panels(dashboard):
        by_instance = [target for target in panel["targets"] if "{{instance}}" in target["legendFormat"]]
        if panel["type"] != "timeseries" or len(by_instance) < len(panel["targets"]):
            continue
        links = panel["fieldConfig"]["defaults"].get("links", [])
        of_node = any("$node" in target["expr"] for target in by_instance)
        if not of_node and not any("var-instance=${__field.labels.instance}" in one["url"] for one in links):
            yield f"{panel['title']}: no link from a series to its instance"


def series_of_workers(dashboard):
    """A server has as many workers as its host has cores: one series for each is unreadable."""
    for panel in queries.panels(dashboard):
        if any("{{worker}}" in target["legendFormat"] for target in panel["targets"]):
            yield f"{panel['title']}: a series for each worker; use a band, or topk in a table"


RULES = (
    saturation_by_instance,
    stack_outline,
    tile_color,
    link_exists,
    instance_link,
    series_of_workers,
)
