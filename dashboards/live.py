#!/usr/bin/env python3
"""Opens the live page of a server under a known load in a browser, and compares what it shows with
that load.

    live.py --towline PATH --pubsub PATH --chromium PATH [--picture FILE.png]
"""

import argparse
import contextlib
import re
import subprocess
import tempfile
import threading
from pathlib import Path

import live_program
from browser import DESK, LONG, PHONE, SECONDS, browse, number, proxied, shown
from faults import throttle
from load import Load, Plan
from stack import Server, stop, wait

# Figures of all waiting connections, while the image loads for LONG.
TICKS = 60
RULES = Path(__file__).parent / "prometheus" / "rules" / "towline.rules.yml"


def compared(page, plan, width):
    held = plan.well_behaved + plan.hashing + plan.never_reading + plan.half_sent
    states = " ".join(shown(page, "states-legend"))
    never_reading = re.search(r"client does not read (\d+)", states)
    if not never_reading:
        raise SystemExit(f"the states are {states!r}")
    expected = {
        # Up to two short-lived connections may be open.
        "connections": (number(page, "open"), held, held + 2),
        "lines/s": (number(page, "lines"), 300, 1000),
        # A polite client may wait for a moment too.
        "write waiters": (number(page, "wait"), plan.never_reading, plan.never_reading + 2),
        "clients that do not read now": (float(never_reading[1]), 50, 50),
        "p99 in µs or ms": (number(page, "p99"), 0.1, 1000),
    }
    wrong = [
        f"{what} {found:g}, expected {low:g} to {high:g}"
        for what, (found, low, high) in expected.items()
        if not low <= found <= high
    ]
    if shown(page, "state") != ["serving"]:
        wrong.append(f"the state is {shown(page, 'state')}")
    wide, window = map(int, re.search(r"<title>(\d+) of (\d+)</title>", page).groups())
    if wide > window:
        wrong.append(f"{wide} pixels wide in a window of {window}")
    if wrong:
        raise SystemExit(f"the live page at {width} pixels: " + "; ".join(wrong))
    return ", ".join(f"{what} {found:g}" for what, (found, _, _) in expected.items())


def agrees(page, ticks):
    """At every tick, no more connections wait than are open."""
    seen = [[int(n.replace(",", "")) for n in tick.split("+")] for tick in shown(page, "seen")]
    if len(seen) < ticks:
        raise SystemExit(f"the page drew {len(seen)} times, expected at least {ticks}")
    for read, write, held in seen:
        if read + write > held * 1.005:
            raise SystemExit(f"{read} + {write} connections wait, of {held} that are open")
    return f"in {len(seen)} ticks no more connections waited than were open"


def listed(page, stuck):
    """The table shows clients that never read first, and the warning line names their share."""
    peers = re.findall(r"127\.0\.0\.1:\d+", " ".join(shown(page, "connections")))
    if len(peers) != 20 or not set(peers) <= stuck:
        raise SystemExit(f"the first connections of the table are {peers}, not clients that never read")
    trouble = " ".join(shown(page, "trouble"))
    if "of the connections wait for clients that do not read" not in trouble:
        raise SystemExit(f"the page warns of {trouble!r}")


def thresholds(page):
    """Alerts that the page names exist, with the thresholds of the page."""
    rules = dict(re.findall(r"- alert: (\w+)\n(.*?)(?=- alert:|\Z)", RULES.read_text(), flags=re.S))
    named = re.findall(r"\['(Towline\w+)', ([\d.]+),", page)
    if not named:
        raise SystemExit("the page names no alerts")
    for alert, above in named:
        if not re.search(rf"> {re.escape(above)}\b", rules.get(alert, "")):
            raise SystemExit(f"the page warns above {above}, and the rule {alert} does not")


def warned(chromium, url, server):
    """The page says that a server is throttled."""
    ended = threading.Event()
    throttling = threading.Thread(target=throttle, args=(server.process, ended.is_set))
    throttling.start()
    try:
        trouble = " ".join(shown(browse(chromium, url, DESK, "--dump-dom"), "trouble"))
    finally:
        ended.set()
        throttling.join()
    if "threads are throttled or overloaded" not in trouble:
        raise SystemExit(f"the page of a throttled server warns of {trouble!r}")


def stale(page):
    """The page after the server has stopped: its last figures, marked as old."""
    state = " ".join(shown(page, "state"))
    if not re.fullmatch(r"no answer since \d\d:\d\d:\d\d", state):
        raise SystemExit(f"the state is {state!r} after the server has stopped")
    if '<main class="stale">' not in page:
        raise SystemExit("figures of a server that has stopped are not greyed out")


@contextlib.contextmanager
def crowd(towline, server):
    """More connections for pictures, as many as one process may have open, most of them busy at times."""
    limit = int(re.search(r"^towline_connections_limit (\d+)", server.metrics(), flags=re.M)[1])
    count = min(19_000, limit * 9 // 10)
    target = "{}:{}".format(*server.address)
    flags = ["-c", str(count), "--rate", "4k", "-T", "10m", "--drain", "0", "--quiet"]
    load = subprocess.Popen([towline, "load", target, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        opened = re.compile(r"^towline_connections_active (\d+)", flags=re.M)
        wait("the connections", lambda: int(opened.search(server.metrics())[1]) >= count, 60)
        yield
    finally:
        load.terminate()
        load.wait()


def main():
    arguments = argparse.ArgumentParser()
    for name in ("towline", "pubsub", "chromium"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--picture", type=Path)
    given = arguments.parse_args()
    # All parts of the load go to one server, so the page shows their sum.
    plan = Plan(lines=10**9)
    with tempfile.TemporaryFile("w") as log, contextlib.ExitStack() as stack:
        # The clients of the load answer no heartbeats, and are to stay.
        flags = [f for name in ("write-timeout", "line-deadline", "heartbeat") for f in (f"--{name}", "off")]
        server = Server(given.towline, log, "echo", *flags)
        stack.callback(stop, server.process)
        load = Load(server.address, server.address, server.address, plan)
        load.start()
        load.connected.wait()
        wait("the load", lambda: load.failure or load.tally.sent > 0)
        proxy, url = stack.enter_context(proxied(server.admin))
        agreed = []
        for width, proxy.seconds, ticks in ((DESK, LONG, TICKS), (PHONE, SECONDS, 3)):
            page = browse(given.chromium, url, width, "--dump-dom")
            facts = compared(page, plan, width)
            listed(page, load.stuck)
            thresholds(page)
            agreed.append(agrees(page, ticks))
            live_program.absent(page)
        warned(given.chromium, url, server)
        proxy.answers = 3
        stale(browse(given.chromium, url, DESK, "--dump-dom"))
        proxy.answers = float("inf")
        if given.picture:
            stack.enter_context(crowd(given.towline, server))
            for mode, dark in (("dark", 0), ("light", 1)):
                picture = given.picture.with_stem(f"{given.picture.stem}-{mode}")
                setting = f"--blink-settings=preferredColorScheme={dark}"
                browse(given.chromium, url, DESK, setting, f"--screenshot={picture}")
            picture = given.picture.with_stem(f"{given.picture.stem}-phone")
            browse(given.chromium, url, PHONE, f"--screenshot={picture}")
        if proxy.requested != {"/", "/metrics", "/connections", "/slow"}:
            raise SystemExit(f"the page requested other paths than expected: {sorted(proxy.requested)}")
        load.finish()
        of_program = live_program.compared(given.pubsub, given.chromium, log, stack)
    print(f"the live page in a browser, at {DESK} and {PHONE} pixels: {facts}; {agreed[0]}; {of_program}")


if __name__ == "__main__":
    main()
