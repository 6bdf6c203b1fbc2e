"""Thresholds of the alerts, so that panels draw those at which alerts fire."""

import re
from pathlib import Path

TEXT = (Path(__file__).parent / "prometheus" / "rules" / "towline.rules.yml").read_text()


def expression(name):
    """The expression of an alert or a recording rule; relies on the indentation of our rules file."""
    found = re.search(rf"- (?:alert|record): {re.escape(name)}\n +expr: (?:\|2\n((?: {{10,}}.*\n)+)|(.*)\n)", TEXT)
    return found[1] or found[2]


def above(alert):
    """The value above which an alert fires."""
    compared = re.findall(r"> ([\d.]+(?: \* [\d.]+)?)$", expression(alert), flags=re.M)
    (value,) = set(compared)
    product = 1.0
    for factor in value.split(" * "):
        product *= float(factor)
    return round(product, 6)


def bound(record):
    """The bound of a histogram beyond which a recording rule counts."""
    return float(re.search(r'le="([\d.]+)"', expression(record))[1])


CONNECTIONS = above("TowlineConnectionsNearLimit")
PERMITS = above("TowlineConcurrencyExhausted")
DESCRIPTORS = above("TowlineDescriptorsNearLimit")
BUSY = above("TowlineWorkerSaturated")
SLOW_CLOSED = above("TowlineSlowConsumersClosed")
HELD_UP = above("TowlinePublishersHeldUp")
STALLED = above("TowlineReadersStalled")
FAILING = above("TowlineLinesFailing")
TIME_IN_STACK = above("TowlineLatencyHigh")
SLOW = bound("instance:towline_scheduling_delay_over_25ms:rate5m")
LATE = bound("instance:towline_scheduling_delay_over_500ms:increase5m")
