"""Injects faults into running servers, and checks that panels and alerts show them, and only them."""

import re
import signal
import time

import queries
import rules
from stack import SCRAPE, WINDOW, ctl, filled_in

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


def only(server, named, host_is_late, found, what):
    """The faulty server is named, and no other unless the host itself made it late."""
    found.expect(server.admin in named, f"{what} does not name {server.admin}, only {named}")
    if host_is_late:
        print(f"{what} may name other servers: this host ran threads late")
    else:
        found.expect(set(named) <= {server.admin}, f"{what} names {named}, and only {server.admin} is faulty")


def frozen(server, prometheus, host, found):
    """A stop that clients feel is in the delay's p99, and raises the alert."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(STOP)
    server.process.send_signal(signal.SIGCONT)
    scraped()
    late = {instance: delay for instance, delay in delays(prometheus).items() if delay > rules.LATE}
    found.value("p99 of the delay after a stop of 1.4 s", late.get(server.admin, 0), 1, 2.5)
    host_is_late = host.late(rules.LATE / 2) > 0
    only(server, late, host_is_late, found, "p99 of the delay")
    firing = instances(prometheus, 'ALERTS{alertname="TowlineThreadsLate", alertstate="firing"}')
    only(server, firing, host_is_late, found, "TowlineThreadsLate")


def throttle(process, ended):
    """Gives a process a fifth of the time of a CPU, as a control group does, until `ended`."""
    while not ended():
        process.send_signal(signal.SIGSTOP)
        time.sleep(PERIOD - RUNS)
        process.send_signal(signal.SIGCONT)
        time.sleep(RUNS)


def throttled(server, prometheus, host, found):
    """A throttled process raises the alert."""
    end = time.monotonic() + SECONDS
    throttle(server.process, lambda: time.monotonic() > end)
    scraped()
    slow = instances(prometheus, expanded("TowlineThreadsSlow"))
    only(server, slow, host.late(rules.SLOW / 2, SECONDS + 3) > 0.05, found, "TowlineThreadsSlow")
    found.facts.append(f"samples above 25 ms with a fifth of a CPU {slow.get(server.admin, 0):.0%}")


def full(towline, server, connections, prometheus, found):
    """One full server of three: the least headroom counts."""
    found.expect(*ctl(towline, server, "set", f"limits.connections={connections}"))
    scraped()
    (headroom,) = prometheus.query(filled_in(queries.panel("towline-overview: Headroom")))
    found.value("headroom with one full server of three", float(headroom["value"][1]), 0, 0.05)
    pending = instances(prometheus, 'ALERTS{alertname="TowlineConnectionsNearLimit"}')
    only(server, pending, False, found, "TowlineConnectionsNearLimit")
