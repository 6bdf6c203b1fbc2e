"""A panel as Grafana's JSON."""

from panels import NODE, Panel

# A variable and not the name of a data source, so that the dashboards load into any Grafana.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = {"stat": 4, "timeseries": 8, "heatmap": 8, "table": 8, "state-timeline": 8}


def rows_of(panel):
    return panel.height or HEIGHT[panel.kind]


def fixed(name, properties):
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def link(title, url):
    return {"title": title, "url": url, "targetBlank": False}


def board(uid):
    """A dashboard for the same time, jobs and instances."""
    return f"/d/towline-{uid}?${{__url_time_range}}&${{job:queryparam}}&${{instance:queryparam}}"


def board_of_instance(uid, instance):
    """A dashboard for the same time and jobs, and one instance."""
    return f"/d/towline-{uid}?${{__url_time_range}}&${{job:queryparam}}&var-instance={instance}"


def data_links(panel):
    """Where a click on a figure or a series leads: to the board of the tile, or to the instance of the series."""
    if panel.link:
        return [link(f"towline-{panel.link}", board(panel.link))]
    legends = [legend for _, legend in panel.queries]
    if panel.kind == "timeseries" and legends and all("{{instance}}" in legend for legend in legends):
        # Instances of node_exporter are not those of towline.
        if not any(NODE in expression for expression, _ in panel.queries):
            return [link("towline-overview", board_of_instance("overview", "${__field.labels.instance}"))]
    return []


def field_config(panel):
    steps = [{"color": color, "value": value} for value, color in panel.thresholds]
    palette = panel.kind == "timeseries"
    defaults = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if palette else "thresholds"},
        "mappings": [],
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    links = data_links(panel)
    if links:
        defaults["links"] = links
    if panel.lines:
        drawn = [{"color": color, "value": value} for value, color in panel.lines]
        defaults["thresholds"]["steps"] = [{"color": "transparent", "value": None}, *drawn]
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
        if panel.lines:
            defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
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
    for heading, words in panel.cell_words.items():
        mapped = {value: {"text": text, "color": color} for value, (text, color) in words.items()}
        properties = [
            {"id": "mappings", "value": [{"type": "value", "options": mapped}]},
            {"id": "custom.cellOptions", "value": {"type": "color-text"}},
        ]
        overrides.append(fixed(heading, properties))
    if panel.kind == "table" and "instance" in panel.columns:
        heading = panel.columns["instance"]
        url = board_of_instance("overview", f"${{__data.fields.{heading}}}")
        overrides.append(fixed(heading, [{"id": "links", "value": [link("towline-overview", url)]}]))
    return {"defaults": defaults, "overrides": overrides}


def options(panel):
    return {
        "timeseries": {
            "legend": {
                # As a table, a legend of eight states would take most of the panel.
                "displayMode": "list",
                "placement": "bottom",
                # Grafana would write "Last *:" before each value.
                "calcs": [],
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
        "table": {
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": [{"displayName": panel.sorted_by, "desc": True}] if panel.sorted_by else [],
        },
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
        "gridPos": {"x": x, "y": y, "w": width, "h": rows_of(panel)},
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
        found["links"] = [link(f"towline-{panel.link}", board(panel.link))]
    return found
