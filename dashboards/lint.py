#!/usr/bin/env python3
"""Checks the dashboards by the seventeen rules of Grafana's dashboard linter, and by some of our own.

    lint.py [--promtool PATH]    with promtool, Prometheus' own parser parses every query

Our rules: those of lint_own.py; the JSON is what the generator writes; every alert has tests, an existing
dashboard, a `runbook_url` that names a section of docs/RUNBOOK.md, and a line in the table of docs/OPERATIONS.md.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import lint_own
import queries

HERE = queries.HERE
RUNBOOK = HERE.parent / "docs" / "RUNBOOK.md"
OPERATIONS = HERE.parent / "docs" / "OPERATIONS.md"
# What every link to the runbook begins with: an external label of Prometheus, else the path.
RUNBOOK_BASE = '{{ or $externalLabels.runbook "docs/RUNBOOK.md" }}'
SOURCE = "${datasource}"
COUNTED = re.compile(r"\b\w+_(?:total|bucket)\b")


def variables(dashboard):
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def template_datasource(dashboard):
    source = variables(dashboard).get("datasource", {})
    if source.get("type") != "datasource" or source.get("label") != "Data source":
        yield "no variable `datasource` with the label `Data source`"


def chosen_by(dashboard, name, label):
    found = variables(dashboard).get(name)
    if found is None:
        yield f"no variable `{name}`"
        return
    wanted = {"label": label, "type": "query", "multi": True, "includeAll": True, "allValue": ".+"}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield f"variable `{name}`: {key} is {found.get(key)!r}, not {value!r}"
    if found["datasource"]["uid"] != SOURCE:
        yield f"variable `{name}` does not use the selected data source"


def template_job(dashboard):
    yield from chosen_by(dashboard, "job", "Job")


def template_instance(dashboard):
    yield from chosen_by(dashboard, "instance", "Instance")


def template_label_promql(dashboard):
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query" and not re.fullmatch(
            r"label_values\(\w+(\{[^}]*\})?, \w+\)", variable["query"]["query"]
        ):
            yield f"variable `{name}`: not a label_values query"


def template_on_time_change_reload(dashboard):
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield f"variable `{name}` is not refreshed when the time range changes"


def panel_datasource(dashboard):
    for panel in queries.panels(dashboard):
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        if any(source["uid"] != SOURCE for source in sources):
            yield f"{panel['title']}: does not use the selected data source"


def panel_title_description(dashboard):
    for panel in queries.panels(dashboard):
        if not panel["title"] or not panel["description"]:
            yield f"panel {panel['id']} {panel['title']!r} lacks a title or a description"


def panel_units(dashboard):
    # The units in use. Grafana shows an unknown unit as a suffix, so a typo would stay unnoticed.
    known = {"none", "short", "percentunit", "s", "bytes", "Bps", "suffix:lines/s", "suffix:conn/s", "suffix:/s", "suffix:s/MB", "dateTimeAsIso"}
    for panel in queries.panels(dashboard):
        unit = panel["fieldConfig"]["defaults"].get("unit")
        if unit not in known:
            yield f"{panel['title']}: unit {unit!r}"


def panel_no_targets(dashboard):
    for panel in queries.panels(dashboard):
        if not panel["targets"]:
            yield f"{panel['title']}: has no query"


def expressions(dashboard):
    for panel in queries.panels(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def target_logql(dashboard):
    for panel in queries.panels(dashboard):
        if any(target["datasource"]["type"] != "prometheus" for target in panel["targets"]):
            yield f"{panel['title']}: a query for another data source than Prometheus"


def target_logql_auto(dashboard):
    for title, expression in expressions(dashboard):
        if "$__auto" in expression:
            yield f"{title}: $__auto works with Loki only"


def target_promql(dashboard):
    """Finds common typos; `--promtool` and check.py parse the queries."""
    for title, expression in expressions(dashboard):
        bare = queries.STRING.sub('""', expression)
        for pair in ("()", "{}", "[]"):
            if bare.count(pair[0]) != bare.count(pair[1]):
                yield f"{title}: unbalanced {pair}"
        if not queries.selectors(expression):
            yield f"{title}: names no metric"


def target_rate_interval(dashboard):
    for title, expression in expressions(dashboard):
        for window in re.findall(r"\[([^\]]*)\]", expression):
            if window not in ("$__rate_interval", "$__range"):
                yield f"{title}: window {window} instead of $__rate_interval, or $__range for sums of the chosen time"


def carries(dashboard, label):
    for title, expression in expressions(dashboard):
        for name, matchers in queries.selectors(expression):
            wanted = f'{label}=~"${label}"'
            if name.startswith("node_"):
                # node_exporter is another job, whose instances have a variable of their own.
                wanted = 'instance=~"$node"'
            elif name == "ALERTS":
                # Alerts of a job have no instance.
                wanted = f'{label}=~"${label}|"'
            if wanted not in matchers:
                yield f"{title}: {name} without {wanted}"


def target_job(dashboard):
    yield from carries(dashboard, "job")


def target_instance(dashboard):
    yield from carries(dashboard, "instance")


def target_counter_agg(dashboard):
    for title, expression in expressions(dashboard):
        taken = re.sub(r"\b(?:rate|irate|increase)\([^()]*\)", "", expression)
        for name in COUNTED.findall(taken):
            yield f"{title}: {name} is a counter; use its rate"


def uneditable_dashboard(dashboard):
    if dashboard["editable"]:
        yield "is editable in the browser, where changes would be lost"


LINTER = (
    template_datasource,
    template_job,
    template_instance,
    template_label_promql,
    template_on_time_change_reload,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    target_logql,
    target_logql_auto,
    target_promql,
    target_rate_interval,
    target_job,
    target_instance,
    target_counter_agg,
    uneditable_dashboard,
    *lint_own.RULES,
)


def alerts(text):
    """Names of alerts with their text; relies on the indentation of our rules file."""
    parts = re.split(r"^ *- alert: (\w+)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def of_alerts():
    tests = (HERE / "prometheus" / "towline.rules_test.yml").read_text()
    fires = set(re.findall(r"alertname: (\w+)\n +eval_time: \S+\n +exp_alerts:\n", tests))
    absent = tests.split("name: nothing is there", 1)[1]
    sections = set(re.findall(r"^## (\w+)$", RUNBOOK.read_text().lower(), flags=re.M))
    uids = {path.stem for path in queries.DASHBOARDS}
    for name, body in alerts(queries.RULES.read_text()).items():
        runbook = re.search(rf"runbook_url: '{re.escape(RUNBOOK_BASE)}#(\w+)'$", body, flags=re.M)
        dashboard = re.search(r"dashboard: (\S+)", body)
        if name not in fires:
            yield f"{name}: no test in which it fires"
        if f"alertname: {name}," not in absent and name != "TowlineMetricsAbsent":
            yield f"{name}: no test on absent data"
        if f"| [{name}](" not in OPERATIONS.read_text():
            yield f"{name}: not in the table of docs/OPERATIONS.md"
        if not re.search(r"severity: (page|ticket)\b", body):
            yield f"{name}: no severity"
        if not runbook or runbook[1] not in sections:
            yield f"{name}: no `runbook_url` that begins with {RUNBOOK_BASE} and names a section of docs/RUNBOOK.md"
        if not dashboard or dashboard[1] not in uids:
            yield f"{name}: no `dashboard` that exists"


def parsed(promtool):
    """Parses every query, as a recording rule, with `promtool check rules`."""
    rules = []
    for at, query in enumerate(queries.of_dashboards()):
        expression = query.expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
        rules.append({"record": f"query:{at}", "expr": expression, "labels": {"place": query.place}})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        file.flush()
        run = subprocess.run(
            [promtool, "check", "rules", "--lint=none", file.name], capture_output=True, text=True
        )
    if run.returncode:
        yield run.stdout + run.stderr


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--promtool")
    promtool = arguments.parse_args().promtool
    found = []
    for path in queries.DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for rule in LINTER:
            found += [f"{path.name}: {rule.__name__}: {problem}" for problem in rule(dashboard)]
    found += of_alerts()
    if promtool:
        found += parsed(promtool)
    current = subprocess.run(
        [sys.executable, HERE / "generate.py", "--check"], capture_output=True, text=True
    )
    found += [current.stderr.strip()] if current.returncode else []
    if found:
        sys.exit("\n".join(found))
    print(f"{len(queries.DASHBOARDS)} dashboards meet {len(LINTER)} rules")


if __name__ == "__main__":
    main()
