"""What the live page shows of a program of the library: the example `pubsub` under a known load."""

import re

import publishing
from browser import DESK, browse, proxied, shown
from stack import Example, answers, stop, wait

SECTIONS = ("of-commands", "of-pushes")


def hidden(page, section):
    return re.search(rf'id="{section}"([^>]*)>', page)[1].strip() == 'hidden=""'


def absent(page):
    """The page of a server without commands and pushes does not show them."""
    for section in SECTIONS:
        if not hidden(page, section):
            raise SystemExit(f"the page of the towline binary shows {section}")


def compared(pubsub, chromium, log, stack):
    example = Example(pubsub, log)
    stack.callback(stop, example.process)
    wait("the example", lambda: answers(f"http://{example.admin}/readyz"))
    stuck = publishing.flood(example)
    pushed = publishing.Publishing(example.address)
    pushed.start()
    pushed.connected.wait()
    _, url = stack.enter_context(proxied(example.admin))
    page = browse(chromium, url, DESK, "--dump-dom")
    pushed.finish()
    for section in SECTIONS:
        if hidden(page, section):
            raise SystemExit(f"the page of a program with a router does not show {section}")
    commands, pushes = (" ".join(shown(page, what)) for what in ("commands", "pushes"))
    most = publishing.TOGETHER / publishing.TICK
    wanted = [
        (r"PUBLISH [\d,.]+(?: k)? in total p99 [\d.]+ .?s, (\d+)/s", commands, most / 2, most),
        (r"other \d+ in total 100 % fail, ([\d.]+)/s", commands, 0.5 / publishing.TICK, 1 / publishing.TICK),
        (r"sent [\d,.]+(?: k)? in total ([\d,]+)/s", pushes, most * publishing.SUBSCRIBERS / 2, most * publishing.SUBSCRIBERS),
        (r"per write ([\d.]+) messages", pushes, 1, publishing.TOGETHER),
        (r"groups 1 (\d+) members", pushes, publishing.SUBSCRIBERS, publishing.SUBSCRIBERS),
        (r"slow: closed (\d+) in total", pushes, len(stuck), len(stuck)),
    ]
    for pattern, text, low, high in wanted:
        found = re.search(pattern, text)
        value = float(found[1].replace(",", "")) if found else None
        if value is None or not low <= value <= high:
            raise SystemExit(f"the page of a program shows {text!r}, expected {pattern} with {low:g} to {high:g}")
    return f"of a program: {pushes}"
