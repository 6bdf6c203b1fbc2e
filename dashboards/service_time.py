"""Compares the median that a panel shows with that of a client, for a service that takes a known time."""

import re
import socket
import statistics
import time

import queries
from stack import WINDOW, ctl, filled_in

# Hashing so many lines takes a millisecond or two, and moving them a hundredth of it. They fit into one read.
LINES = b"a\n" * 15_000
SECONDS = float(WINDOW.removesuffix("s")) + 2
# On a busy host the client may wait for a CPU.
TRIES = 3


def asked(address, seconds):
    """Sends lines and waits for the replies, for some seconds. Returns the times that this took."""
    took = []
    with socket.create_connection(address) as client:
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            client.sendall(LINES)
            left = len(LINES)
            while left:
                left -= len(client.recv(1 << 20))
            took.append(time.monotonic() - begin)
    return took


def median(towline, server, prometheus, found):
    # The replies are as short as the lines.
    found.expect(*ctl(towline, server, "set", "workload.digest=discard"))
    instance = re.escape(server.admin).replace("\\", "\\\\")
    panel = filled_in(queries.panel("towline-overview: Quantiles"), instance)
    for _ in range(TRIES):
        client = statistics.median(asked(server.address, SECONDS))
        (series,) = prometheus.query(panel)
        shown = float(series["value"][1])
        if abs(shown / client - 1) <= 0.1:
            break
    found.value("median shown, by that of the client", shown / client, 0.9, 1.1)
