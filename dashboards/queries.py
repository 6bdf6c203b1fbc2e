"""Reads the queries of the committed dashboards and rules, and the metrics in them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
DASHBOARDS = sorted((HERE / "grafana" / "dashboards").glob("*.json"))
RULES = HERE / "prometheus" / "rules" / "towline.rules.yml"

# A selector: the name of a metric, and its matchers if any. A following `(` marks a function.
SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)(?![\w:]|\s*\()\s*(\{[^}]*\})?")
WORDS = set("by without on ignoring group_left group_right and or unless bool offset inf nan".split())
STRING = re.compile(r'"[^"]*"')
WINDOW = re.compile(r"\[[^\]]*\]")
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")


@dataclass(frozen=True)
class Query:
    # Dashboard and panel, for messages.
    place: str
    expression: str
    panel: dict | None = None


def panels(dashboard):
    """All panels, those of closed rows too."""
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    inside = [panel for row in rows for panel in row["panels"]]
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"] + inside


def of_dashboards():
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Query(f"{dashboard['uid']}: {panel['title']}", target["expr"], panel)


def panel(place):
    """The first query of a panel: `dashboard: title`."""
    return next(query.expression for query in of_dashboards() if query.place == place)


def annotations():
    found = {}
    for path in DASHBOARDS:
        for annotation in json.loads(path.read_text())["annotations"]["list"]:
            found[annotation["expr"]] = Query(f"annotation {annotation['name']}", annotation["expr"])
    return list(found.values())


def selectors(expression):
    """Pairs of a metric's name and its matchers, as in the query."""
    bare = GROUPING.sub(" ", WINDOW.sub(" ", expression))
    found = []
    for name, matchers in SELECTOR.findall(bare):
        # Without matchers and underscore it is a unit of time or an exponent, not a metric.
        if name not in WORDS and (matchers or "_" in name or name == "up"):
            found.append((name, matchers))
    return found


def metrics(expression):
    return {name for name, _ in selectors(expression)}


def family(series):
    """The name under which the exposition declares a series of a histogram."""
    return re.sub(r"_(bucket|sum|count)$", "", series)
