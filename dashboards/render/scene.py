"""What happens while the pictures are made: many connections, and then clients that never read, a killed worker
process and a drain."""

import logging
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import publishing
from load import Load, Plan

# As many as one process may have open here, and a rate that two cores serve beside the load generator.
CONNECTIONS, RATE = 19_000, 4_000
HASHING = 2_000
# Subscribers of the example pubsub, and messages per second to each of them.
SUBSCRIBERS, MESSAGES = 1_000, 50
# The server that loses a worker process has two.
# The clients that never read have a group of their own on the board that compares workloads.
FLAGS = {"sha256": ("--processes", "2", "--threads", "1"), "stalled": ("--flush", "line")}


def generated(towline, server, connections, seconds):
    address = "{}:{}".format(*server.address)
    flags = ["-c", str(connections), "--rate", str(RATE), "-T", f"{seconds}s", "--drain", "0", "--quiet"]
    return subprocess.Popen(
        [towline, "load", address, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def open_connections(server):
    return float(re.search(r"^towline_connections_active (\d+)", server.metrics(), flags=re.M)[1])


def workers(server):
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def played(towline, servers, seconds):
    """Yields once everything has happened, `seconds` after all connections were made; then ends the load."""
    echo, sha256, stalled = servers
    # Both workloads get the same lines: the board that compares them divides by them.
    loads = [generated(towline, echo, CONNECTIONS, 3 * seconds), generated(towline, sha256, HASHING, 3 * seconds)]
    while open_connections(echo) < CONNECTIONS or open_connections(sha256) < HASHING:
        if any(load.poll() is not None for load in loads):
            raise SystemExit("towline load ended; the descriptor limit may be too low")
        time.sleep(0.5)
    # Clients of the killed worker go on writing.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    # The last mark of a time axis, at a multiple of ten or thirty seconds, would be cut off at its end.
    time.sleep((19 - time.time() - seconds) % 30)
    begin = time.monotonic()

    def at(share):
        time.sleep(max(0.0, begin + seconds * share - time.monotonic()))

    addresses = [server.address for server in servers]
    # Half-sent lines, and connections that are cut or reset.
    calm = Load(*addresses, Plan(well_behaved=20, lines=10**9, never_reading=0))
    calm.start()
    at(0.3)
    stuck = Load(*addresses, Plan(well_behaved=20, lines=10**9, lines_per_second=1000, never_reading=50))
    stuck.start()
    at(0.45)
    # A reload without a change.
    echo.process.send_signal(signal.SIGHUP)
    at(0.55)
    os.kill(workers(sha256)[0], signal.SIGKILL)
    at(0.88)
    # The clients that never read hold the drain up to its deadline of thirty seconds.
    stalled.process.send_signal(signal.SIGTERM)
    at(1)
    yield
    for load in loads:
        load.terminate()
        load.wait()
    for load in (calm, stuck):
        load.halt.set()
        load.join()


def published(towline, pubsub, seconds):
    """Yields once everything has happened to the example pubsub: subscribers that read, commands that it does not
    have, a burst, and subscribers that do not read."""
    address = "{}:{}".format(*pubsub.address)
    flags = ["--mode", "fanout", "--protocol", "resp", "-c", str(SUBSCRIBERS), "--drain", "0", "--quiet"]

    def load(rate, time, topic):
        more = ["--rate", str(rate), "-T", f"{time:.0f}s", "--topic", topic]
        return subprocess.Popen(
            [towline, "load", address, *flags, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    loads = [load(MESSAGES, 2 * seconds, "calm")]
    while open_connections(pubsub) < SUBSCRIBERS:
        time.sleep(0.5)
    wrong = publishing.Publishing(pubsub.address)
    wrong.start()
    wrong.connected.wait()
    time.sleep((19 - time.time() - seconds) % 30)
    begin = time.monotonic()

    def at(share):
        time.sleep(max(0.0, begin + seconds * share - time.monotonic()))

    at(0.35)
    loads.append(load(4 * MESSAGES, 0.2 * seconds, "burst"))
    at(0.7)
    stuck = publishing.flood(pubsub)
    at(1)
    yield
    wrong.finish()
    for one in loads:
        one.terminate()
        one.wait()
    for peer in stuck:
        peer.close()
