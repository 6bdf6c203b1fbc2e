#!/usr/bin/env python3
"""Runs every query of every panel and rule against a Prometheus that scrapes servers under a known
load, and compares the results with that load.

    check.py --towline PATH --pubsub PATH --prometheus PATH --promtool PATH --node-exporter PATH
"""

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

import panels
import publishing
import queries
from faults import frozen, full, scraped, throttled
from handshakes import Handshakes
from host import Host
from load import PAIRS, LINE, Load
from service_time import median
from stack import WINDOW, filled_in, running, wait

# Metrics that no dashboard or rule uses, with the reason.
NOT_SHOWN = {
    "process_virtual_memory_bytes": "address space is not memory in use; client libraries export it too",
    "towline_tls_reloads_total": "the alert is on the last one; how often files changed is no figure to watch",
    "towline_snapshot_seconds": "the server's own clock, for pages that divide by it; Prometheus has one",
}
# Series that Prometheus itself adds to every scrape.
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}
# Prefixes of node_exporter's metrics that depend on the kernel, with the file they come from.
OF_KERNELS = {
    "node_nf_conntrack_": Path("/proc/sys/net/netfilter/nf_conntrack_count"),
    "node_pressure_": Path("/proc/pressure/cpu"),
}
SECONDS = float(WINDOW.removesuffix("s"))


class Findings:
    def __init__(self):
        self.problems = []
        self.facts = []

    def expect(self, holds, otherwise):
        if not holds:
            self.problems.append(otherwise)

    def value(self, what, found, low, high):
        self.facts.append(f"{what} {found:g}")
        self.expect(low <= found <= high, f"{what}: {found:g}, expected {low:g} to {high:g}")


def declared(exposition):
    return set(re.findall(r"^# TYPE (\S+)", exposition, flags=re.M))


def names(exposition, prometheus, rules, found):
    """A metric that is used and not exported is a mistake, and so is one exported and never used."""
    exported = declared(exposition)
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    stored = set(prometheus.ask("label/__name__/values"))
    used = {}
    for query in [*queries.of_dashboards(), *queries.annotations()]:
        for name in queries.metrics(query.expression):
            used.setdefault(name, query.place)
    for rule in rules:
        for name in queries.metrics(rule["query"]):
            used.setdefault(name, f"rule {rule['name']}")
    for document in (queries.HERE.parent / "docs").glob("*.md"):
        # Two words or more: `towline_middleware` is a crate.
        for name in re.findall(r"\btowline_[a-z]+_[a-z_]+", document.read_text()):
            found.expect(queries.family(name) in exported, f"{document.name}: {name} is not exported")
    for name, place in sorted(used.items()):
        if name.startswith("node_"):
            known = name in stored or unavailable(name)
        else:
            known = queries.family(name) in exported or name in OF_PROMETHEUS | recorded | {"ALERTS"}
        found.expect(known, f"{place}: {name} is not exported")
    unused = exported - {queries.family(name) for name in used}
    for name in sorted(unused - set(NOT_SHOWN)):
        found.expect(False, f"{name} is exported and not used by a dashboard or rule")
    for name in sorted(set(NOT_SHOWN) - unused):
        found.expect(False, f"{name} is listed in NOT_SHOWN and used, or not exported any more")


def unavailable(expression):
    """Whether the kernel of this machine lacks the source of a metric of node_exporter."""
    return any(prefix in expression and not path.exists() for prefix, path in OF_KERNELS.items())


def is_number(sample):
    return sample != "NaN"


def check_results(prometheus, place, expression, found, begin, now):
    try:
        instant = prometheus.query(expression, now)
        ranged = prometheus.range(expression, begin, now)
    except ValueError as error:
        found.expect(False, f"{place}: {error}")
        return
    if unavailable(expression) and not instant:
        print(f"{place}: not checked, this kernel does not report it")
        return
    found.expect(instant, f"{place}: no result for {expression}")
    if instant:
        numbers = [series for series in instant if is_number(series["value"][1])]
        found.expect(numbers, f"{place}: no number for {expression}")
    found.expect(ranged, f"{place}: no result over time for {expression}")


def without_threshold(expression):
    """An alert's query without its threshold, so that it has results on a healthy server."""
    expression = re.sub(r"\s(?:==|>|<|>=|<=)\s+[\d.]+(?: \* [\d.]+)?", "", expression)
    return re.sub(r"absent\((.*)\)", r"\1", expression)


def without_first_bound(expression):
    """A panel's quantile without the condition that it is not in the first bucket: what ends within a millisecond,
    as a connection that is reset, has a median there now and then."""
    return re.sub(r"^(histogram_quantile\(.*\)) > [\d.e-]+$", r"\1", expression)


def every_query(prometheus, rules, found, begin, now):
    count = 0
    for query in queries.of_dashboards():
        count += 1
        expression = without_first_bound(filled_in(query.expression))
        check_results(prometheus, query.place, expression, found, begin, now)
    for rule in rules:
        count += 1
        found.expect(rule["health"] == "ok", f"rule {rule['name']}: {rule.get('lastError')}")
        bare = without_threshold(rule["query"])
        check_results(prometheus, f"rule {rule['name']}", bare, found, begin, now)
    for query in queries.annotations():
        # An empty result is valid: nothing happened. The query must only parse.
        try:
            prometheus.query(filled_in(query.expression), now)
        except ValueError as error:
            found.expect(False, f"{query.place}: {error}")
    return count


def held(load, pushed):
    """Connections that stay open."""
    plan = load.plan
    return plan.well_behaved + plan.hashing + plan.never_reading + plan.half_sent + pushed.held


def values(prometheus, load, pushed, servers, found, now):
    """Panels whose values the load determines."""
    echo, sha256, stalled, _ = (re.escape(server.admin).replace("\\", "\\\\") for server in servers)
    plan, tally = load.plan, load.tally

    def ask(place, instance=".+"):
        (series,) = prometheus.query(filled_in(queries.panel(place), instance), now)
        return float(series["value"][1])

    stuck = ask("towline-connections: Write wait by instance", stalled)
    found.value("mean write waiters", stuck, plan.never_reading - 1, plan.never_reading + 1)
    of_that_instance = ask("towline-overview: Write waiters", stalled)
    found.value("share of write waiters of that instance", of_that_instance, 0.97, 1.03)
    sent = tally.rate(now - SECONDS - 1, now - 1)
    found.value("lines/s", ask("towline-overview: Lines/s", echo), sent * 0.96, sent * 1.04)
    # Up to three short-lived connections may be open at the moment of the scrape.
    most = held(load, pushed) + 3
    found.value("open connections", ask("towline-overview: Connections"), most - 3, most)
    half = ask("towline-connections: Half-sent lines", echo)
    found.value("half-sent lines", half, plan.half_sent, plan.half_sent + 1)
    found.value("lines a batch", ask("towline-middleware: Lines per batch", echo), PAIRS * 0.8, PAIRS * 1.01)
    found.value("success", ask("towline-overview: Success"), 1, 1)
    hashed = ask("towline-middleware: Bytes hashed", sha256) / len(LINE)
    found.value("lines hashed/s", hashed, plan.hashed_per_second * 0.9, plan.hashed_per_second * 1.1)
    # Other scraped programs export these metrics too, and must not be counted.
    found.value("towline instances up", ask("towline-overview: Up"), len(servers), len(servers))
    cpu = prometheus.query(filled_in(queries.panel("towline-overview: CPU by instance")), now)
    found.expect(
        {series["metric"]["instance"] for series in cpu} == {server.admin for server in servers},
        f"CPU by instance shows other programs than towline: {cpu}",
    )
    pending = {
        (series["metric"]["alertname"], series["metric"].get("instance"))
        for series in prometheus.query("ALERTS", now)
    }
    found.expect(
        ("TowlineReadersStalled", servers[2].admin) in pending,
        f"TowlineReadersStalled is not pending where clients never read: {pending}",
    )
    found.expect(
        not any(name == "TowlineReadersStalled" and at != servers[2].admin for name, at in pending),
        "TowlineReadersStalled is pending where all clients read",
    )


def sample(exposition, series):
    return float(re.search(rf"^{re.escape(series)} (\S+)$", exposition, flags=re.M)[1])


def totals(load, servers, found):
    """Counters that must be exact once the load is over."""
    tally = load.tally
    echo, sha256, stalled, _ = (server.metrics() for server in servers)

    def equal(what, exposition, series, wanted):
        found.value(what, sample(exposition, series), wanted, wanted)

    ok = 'towline_lines_processed_total{result="ok"}'
    equal("lines echoed", echo, ok, tally.sent)
    equal("lines hashed", sha256, ok, tally.hashed)
    equal("bytes hashed", sha256, "towline_hashed_bytes_total", tally.hashed * len(LINE))
    equal("unterminated lines", echo, "towline_lines_unterminated_total", tally.cut_short)
    churned = tally.cut_short + tally.reset
    made = load.plan.well_behaved + load.plan.half_sent + churned
    equal("connections made", echo, "towline_connections_accepted_total", made)
    equal("connections reset", echo, 'towline_connections_closed_total{reason="peer_reset"}', tally.reset)
    equal("stalled now", stalled, 'towline_connections{state="write_wait"}', load.plan.never_reading)


def first_bounds(exposition, found):
    """Panels leave out a quantile in the first bucket; they must know its bound."""
    for histogram, bound in panels.FIRST_BOUNDS.items():
        first = re.search(rf'^{histogram}_bucket{{.*\ble="([^"]*)"}}', exposition, flags=re.M)[1]
        found.expect(first == bound, f"the first bucket of {histogram} is {first}, and {bound} in panels.py")


def linted(promtool, exposition, found):
    run = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, text=True
    )
    found.expect(run.returncode == 0, f"promtool check metrics: {run.stdout}{run.stderr}")


def main():
    arguments = argparse.ArgumentParser()
    for name in ("towline", "pubsub", "prometheus", "promtool", "node-exporter"):
        arguments.add_argument(f"--{name}", required=True)
    given = arguments.parse_args()
    found = Findings()
    host = Host()
    host.start()
    programs = (given.towline, given.prometheus, given.node_exporter)
    with (
        tempfile.TemporaryDirectory(prefix="towline-dashboards-") as folder,
        running(
            *programs, flags={"stalled": (handshakes := Handshakes(folder)).flags()}, pubsub=given.pubsub
        ) as (servers, prometheus),
    ):
        echo, sha256, stalled, pubsub = servers
        handshakes.address = ("127.0.0.1", stalled.tls_port)
        load = Load(*(server.address for server in (echo, sha256, stalled)))
        pushed = publishing.Publishing(pubsub.address)
        handshakes.start()
        for clients in (load, pushed):
            clients.start()
            clients.connected.wait()
        # The measured window lies inside the load.
        wait("the load", lambda: load.failure or load.tally.sent >= load.plan.lines * 0.85, 60)
        now = time.time()
        time.sleep(1)
        groups = prometheus.ask("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        count = every_query(prometheus, rules, found, now - SECONDS, now)
        values(prometheus, load, pushed, servers, found, now)
        publishing.values(prometheus, pushed, found, now, SECONDS)
        wait("the last line", lambda: load.failure or load.tally.sent == load.plan.lines, 60)
        handshakes.finish()
        time.sleep(1)
        totals(load, servers, found)
        made = sample(stalled.metrics(), 'towline_tls_handshakes_total{result="ok",resumed="false"}')
        resumed = sample(stalled.metrics(), 'towline_tls_handshakes_total{result="ok",resumed="true"}')
        found.value("TLS handshakes", made + resumed, handshakes.done, handshakes.done)
        # Nothing connects any more.
        scraped()
        (shown,) = prometheus.query(filled_in(queries.panel("towline-overview: Connections")))
        at_rest = held(load, pushed)
        found.value("connections at rest", float(shown["value"][1]), at_rest, at_rest)
        pushed.finish()
        publishing.totals(pubsub, pushed, sample, found)
        publishing.slow(pubsub, prometheus, found)
        median(given.towline, sha256, prometheus, found)
        frozen(sha256, prometheus, host, found)
        throttled(echo, prometheus, host, found)
        full(given.towline, sha256, load.plan.hashing, prometheus, found)
        expositions = [server.metrics() for server in (echo, stalled, pubsub)]
        names("".join(expositions), prometheus, rules, found)
        for exposition in expositions:
            linted(given.promtool, exposition, found)
        first_bounds("".join(expositions), found)
        load.finish()
    if found.problems:
        raise SystemExit("\n".join(found.problems))
    print(f"{count} queries answered against real servers; {', '.join(found.facts)}")


if __name__ == "__main__":
    main()
