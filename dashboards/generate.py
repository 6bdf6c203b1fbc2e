#!/usr/bin/env python3
"""Writes the Grafana dashboards from `boards/`, and the rules as a resource of the Prometheus operator.

    generate.py           write dashboards/grafana/dashboards/*.json and prometheus/prometheusrule.yaml
    generate.py --check   fail if the files differ from what would be written
"""

import json
import sys
from pathlib import Path

from boards import BOARDS
from panel_json import DATASOURCE, render, rows_of
from panels import J, own

HERE = Path(__file__).parent
OUT = HERE / "grafana" / "dashboards"
RULES = HERE / "prometheus" / "rules" / "towline.rules.yml"
OPERATOR = HERE / "prometheus" / "prometheusrule.yaml"

COLUMNS = 24


def variable(name, label, query):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": "v"},
        "definition": query,
        # Query again when the time range changes, because instances may differ.
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
        "hide": 0,
    }


def variables(board):
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
        "regex": "",
        "hide": 0,
    }
    found = [
        source,
        variable("job", "Job", "label_values(towline_build_info, job)"),
        variable("instance", "Instance", 'label_values(towline_build_info{job=~"$job"}, instance)'),
    ]
    if board.node:
        found.append(variable("node", "Node", "label_values(node_sockstat_TCP_inuse, instance)"))
    return found


def annotation(name, color, expression, title, text):
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": color,
        "expr": expression,
        "titleFormat": title,
        "textFormat": text,
    }


ANNOTATIONS = [
    annotation(
        "Starts",
        "orange",
        own(f"changes(process_start_time_seconds{{{J}}}[1m])") + " > 0",
        "started",
        "{{instance}}",
    ),
    annotation(
        "Deploys",
        "purple",
        # A version that no instance had a minute before.
        f"sum by (version, revision) (towline_build_info{{{J}}})"
        f" unless sum by (version, revision) (towline_build_info{{{J}}} offset 1m)",
        "version {{version}}",
        "revision {{revision}}",
    ),
    annotation("Drains", "blue", f"towline_draining{{{J}}} == 1", "draining", "{{instance}}"),
    annotation(
        "Alerts",
        "red",
        'ALERTS{alertname=~"Towline.*", alertstate="firing"}',
        "{{alertname}}",
        "{{instance}}",
    ),
]


def positioned(row, first, y):
    """The panels of a row from a number and a height on, and the height where they end. Those without a width share
    the row evenly; stats get a line of their own."""
    panels = []
    stats = [panel for panel in row if panel.kind == "stat"]
    others = [panel for panel in row if panel.kind != "stat"]
    for group in (stats, others):
        if not group:
            continue
        share = COLUMNS // min(len(group), 8 if group is stats else 3)
        x = height = 0
        for panel in group:
            width = panel.width or share
            if x + width > COLUMNS:
                x, y, height = 0, y + height, 0
            panels.append(render(panel, first + len(panels), x, y, width))
            x, height = x + width, max(height, rows_of(panel))
        y += height
    return panels, y


def layout(board):
    """Rows and panels with positions. The panels of a closed row are inside it."""
    panels, number, y = [], 1, 0
    for title, row in board.rows:
        inside, below = positioned(row, number + 1, y + 1)
        closed = title in board.collapsed
        panels.append(
            {
                "id": number,
                "type": "row",
                "title": title,
                "collapsed": closed,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": inside if closed else [],
            }
        )
        if not closed:
            panels += inside
        number, y = number + 1 + len(inside), below
    return panels


def build(board):
    return {
        # Fixed, so that links from alerts stay valid.
        "uid": f"towline-{board.uid}",
        "title": f"Towline / {board.title}",
        "description": board.description,
        "tags": ["towline"],
        # The schema of Grafana 10.4; newer versions migrate it.
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "weekStart": "",
        "templating": {"list": variables(board)},
        "annotations": {"list": ANNOTATIONS},
        "links": [
            {
                "type": "dashboards",
                "tags": ["towline"],
                "title": "Towline",
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }
        ],
        "panels": layout(board),
    }


def operator_rules():
    """The rules as a PrometheusRule: the same text, indented."""
    lines = RULES.read_text().splitlines()
    head = [
        "# Written by dashboards/generate.py from rules/towline.rules.yml.",
        "apiVersion: monitoring.coreos.com/v1",
        "kind: PrometheusRule",
        "metadata:",
        "  name: towline",
        "  labels: {app.kubernetes.io/name: towline}",
        "spec:",
    ]
    return "\n".join(head + [f"  {line}" if line else "" for line in lines]) + "\n"


def main():
    wanted = {
        OUT / f"towline-{board.uid}.json": json.dumps(build(board), indent=2, ensure_ascii=False) + "\n"
        for board in BOARDS
    }
    wanted[OPERATOR] = operator_rules()
    if sys.argv[1:] == ["--check"]:
        stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
        stale += sorted(set(OUT.glob("*.json")) - set(wanted))
        if stale:
            names = ", ".join(path.name for path in stale)
            sys.exit(f"run dashboards/generate.py, these files differ from its output: {names}")
        return
    OUT.mkdir(parents=True, exist_ok=True)
    for path, text in wanted.items():
        path.write_text(text)
    count = sum(len(row) for board in BOARDS for _, row in board.rows)
    print(f"{len(BOARDS)} dashboards, {count} panels, and the rules for the Prometheus operator")


if __name__ == "__main__":
    main()
