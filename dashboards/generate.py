#!/usr/bin/env python3
"""Writes the Grafana dashboards from `boards/`, and the rules as a resource of the Prometheus operator.

    generate.py           write dashboards/grafana/dashboards/*.json and prometheus/prometheusrule.yaml
    generate.py --check   fail if the files differ from what would be written
"""

import json
import sys
from pathlib import Path

from boards import BOARDS
from panels import J, Panel, own

HERE = Path(__file__).parent
OUT = HERE / "grafana" / "dashboards"
RULES = HERE / "prometheus" / "rules" / "towline.rules.yml"
OPERATOR = HERE / "prometheus" / "prometheusrule.yaml"

# A variable and not the name of a data source, so that the dashboards load into any Grafana.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
HEIGHT = {"stat": 4, "timeseries": 8, "heatmap": 8, "table": 7, "state-timeline": 6}


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
    annotation("Drains", "blue", f"towline_draining{{{J}}} == 1", "draining", "{{instance}}"),
    annotation(
        "Alerts",
        "red",
        'ALERTS{alertname=~"Towline.*", alertstate="firing"}',
        "{{alertname}}",
        "{{instance}}",
    ),
]


def fixed(name, properties):
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def field_config(panel):
    steps = [{"color": color, "value": value} for value, color in panel.thresholds]
    palette = panel.kind == "timeseries"
    defaults = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if palette else "thresholds"},
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            # The outline of a stacked series of zeros would be drawn over the one below it.
            "lineWidth": 0 if panel.stack else 1,
            "lineInterpolation": "linear",
            "fillOpacity": 40 if panel.stack else 10,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
        }
    if panel.logarithm is not None:
        del defaults["min"]
        defaults["custom"]["scaleDistribution"] = {"type": "log", "log": panel.logarithm}
    if panel.soft_maximum is not None:
        defaults["custom"]["axisSoftMax"] = panel.soft_maximum
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.no_value is not None:
        defaults["noValue"] = panel.no_value
    if panel.words:
        words = {value: {"text": text, "color": color} for value, (text, color) in panel.words.items()}
        defaults["mappings"] = [{"type": "value", "options": words}]
    overrides = [
        fixed(name, [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}])
        for name, color in panel.colors.items()
    ]
    dashed = [
        {"id": "color", "value": {"mode": "fixed", "fixedColor": "orange"}},
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
        {"id": "custom.fillOpacity", "value": 0},
        {"id": "custom.stacking", "value": {"mode": "none", "group": "B"}},
    ]
    overrides += [fixed(name, dashed) for name in panel.limits]
    for heading, thresholds in panel.cells.items():
        steps = [{"color": color, "value": value} for value, color in thresholds]
        colored = [
            {"id": "thresholds", "value": {"mode": "absolute", "steps": steps}},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ]
        overrides.append(fixed(heading, colored))
    overrides += [fixed(heading, [{"id": "unit", "value": unit}]) for heading, unit in panel.cell_units.items()]
    return {"defaults": defaults, "overrides": overrides}


def options(panel):
    return {
        "timeseries": {
            "legend": {
                # As a table, a legend of eight states would take most of the panel.
                "displayMode": "list",
                "placement": "bottom",
                "calcs": [] if panel.many else ["lastNotNull"],
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        "heatmap": {
            "calculate": False,
            "yAxis": {"unit": panel.unit},
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "cellGap": 1,
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": True},
        },
        "table": {"showHeader": True, "cellHeight": "sm"},
        "state-timeline": {
            "showValue": "never",
            "mergeValues": True,
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single"},
        },
    }[panel.kind]


def targets(panel):
    found = []
    for at, (expression, legend) in enumerate(panel.queries):
        # Tables show the current values, other panels a time range.
        instant = panel.kind == "table"
        formats = {"heatmap": "heatmap", "table": "table"}
        found.append(
            {
                "refId": chr(ord("A") + at),
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expression,
                "legendFormat": legend,
                "format": formats.get(panel.kind, "time_series"),
                "range": not instant,
                "instant": instant,
            }
        )
    return found


def render(panel: Panel, number, x, y, width):
    found = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT[panel.kind]},
        "fieldConfig": field_config(panel),
        "options": options(panel),
        "targets": targets(panel),
    }
    if panel.columns:
        hidden = {"Time", "Value", "__name__", "job"} - set(panel.columns)
        organize = {
            "indexByName": {label: at for at, label in enumerate(panel.columns)},
            "renameByName": panel.columns,
            "excludeByName": {label: True for label in sorted(hidden)},
        }
        # Several queries are columns of one table.
        merge = [{"id": "merge", "options": {}}] if len(panel.queries) > 1 else []
        found["transformations"] = [*merge, {"id": "organize", "options": organize}]
    if panel.link:
        # The board with more about it, for the same jobs and instances and the same time.
        url = f"/d/towline-{panel.link}?${{__url_time_range}}&${{job:queryparam}}&${{instance:queryparam}}"
        found["links"] = [{"title": f"towline-{panel.link}", "url": url, "targetBlank": False}]
    return found


def layout(board):
    """Panels with positions. Those without a width share the row evenly; stats get a line of their own."""
    panels, y = [], 0
    for title, row in board.rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        y += 1
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
                panels.append(render(panel, len(panels) + 1, x, y, width))
                x, height = x + width, max(height, HEIGHT[panel.kind])
            y += height
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
    panels = [panel for path in wanted if path != OPERATOR for panel in json.loads(wanted[path])["panels"]]
    count = sum(panel["type"] != "row" for panel in panels)
    print(f"{len(BOARDS)} dashboards, {count} panels, and the rules for the Prometheus operator")


if __name__ == "__main__":
    main()
