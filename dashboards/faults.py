"""Injects faults into running servers, and checks that panels and alerts show them, and only them."""

import re
import signal
import subprocess
import time

import queries
import rules
from stack import SCRAPE, WINDOW, filled_in

SECONDS = float(WINDOW.removesuffix("s"))
# Longer than any deadline of clients would allow, and short enough for a check.
STOP = 1.4
# A control group of a fifth of a CPU: runs for so long of each period, in seconds. The kernel's period is 0.1.
RUNS, PERIOD = 0.02, 0.1


def expanded(alert):
    """The expression of an alert over the last seconds, with its recording rules in place."""
    expression = re.sub(r"\binstance:\w+:\w+", lambda name: f"({rules.expression(name[0])})", rules.expression(alert))
    return expression.replace("5m", WINDOW)


def instances(prometheus, expression):
    return {series["metric"].get("instance"): float(series["value"][1]) for series in prometheus.query(expression)}


def scraped():
    """Waits for scrapes of what has happened."""
    time.sleep(2 * SCRAPE + 1)


def delays(prometheus):
    return instances(prometheus, filled_in(queries.panel("towline-workers: Scheduling delay, p99")))


def frozen(server, prometheus, found):
    """A stop that clients feel is in the delay's p99, and raises the alert."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(STOP)
    server.process.send_signal(signal.SIGCONT)
    scraped()
    late = delays(prometheus)
    found.value("p99 of the delay after a stop of 1.4 s", late.pop(server.admin, 0), 1, 2.5)
    found.expect(max(late.values()) < rules.LATE, f"servers that were not stopped are late: {late}")
    firing = instances(prometheus, 'ALERTS{alertname="TowlineThreadsLate", alertstate="firing"}')
    found.expect(set(firing) == {server.admin}, f"TowlineThreadsLate fires for {firing}, and {server.admin} was stopped")


def throttled(server, prometheus, found):
    """A process that gets a fifth of the time of a CPU, as a control group gives it, raises the alert."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(PERIOD - RUNS)
        server.process.send_signal(signal.SIGCONT)
        time.sleep(RUNS)
    scraped()
    slow = instances(prometheus, expanded("TowlineThreadsSlow"))
    found.expect(set(slow) == {server.admin}, f"slow are {slow}, and {server.admin} was throttled")
    if slow:
        found.facts.append(f"samples above 25 ms with a fifth of a CPU {max(slow.values()):.0%}")


def full(towline, server, connections, prometheus, found):
    """One full server of three: the least headroom counts."""
    command = [towline, "ctl", "--socket", server.socket, "set", f"limits.connections={connections}"]
    run = subprocess.run(command, capture_output=True, text=True)
    found.expect(run.returncode == 0, f"towline ctl: {run.stdout}{run.stderr}")
    scraped()
    (headroom,) = prometheus.query(filled_in(queries.panel("towline-overview: Headroom")))
    found.value("headroom with one full server of three", float(headroom["value"][1]), 0, 0.05)
    pending = instances(prometheus, 'ALERTS{alertname="TowlineConnectionsNearLimit"}')
    found.expect(set(pending) == {server.admin}, f"TowlineConnectionsNearLimit for {pending}, and {server.admin} is full")
