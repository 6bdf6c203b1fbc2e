"""A load with known counts, to compare dashboards with.

Independent of `towline load` on purpose: shared code would make the same mistake on both sides.
"""

import asyncio
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

LINE = b"the same thirty-two bytes a line\n"
PAIRS = 5
TICK = 0.1


@dataclass(frozen=True)
class Plan:
    well_behaved: int = 200
    # Sent in batches of `PAIRS` lines, round robin over the well-behaved clients.
    lines: int = 10_000
    lines_per_second: int = 500
    hashing: int = 20
    hashed_per_second: int = 100
    never_reading: int = 50
    half_sent: int = 1


@dataclass
class Tally:
    """What the clients did, to compare with what the server counts."""

    sent: int = 0
    hashed: int = 0
    reset: int = 0
    cut_short: int = 0
    # Pairs of a time and the number of lines sent until then.
    history: list = field(default_factory=list)

    def rate(self, begin, end):
        inside = [(at, sent) for at, sent in self.history if begin <= at <= end]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) / (last - first)


async def swallow(reader):
    while await reader.read(65536):
        pass


class Load(threading.Thread):
    """A thread with the clients of three servers: echo, SHA-256, and one whose clients never read."""

    def __init__(self, echo, sha256, stalled, plan=Plan()):
        super().__init__(daemon=True)
        self.echo, self.sha256, self.stalled, self.plan = echo, sha256, stalled, plan
        self.tally = Tally()
        self.connected = threading.Event()
        self.halt = threading.Event()
        self.failure = None
        self.open = []
        # Addresses of the clients that never read.
        self.stuck = set()

    def run(self):
        try:
            asyncio.run(self.load())
        except Exception as error:  # noqa: BLE001  raised again by finish()
            self.failure = error
        finally:
            self.connected.set()

    def finish(self):
        self.halt.set()
        self.join()
        if self.failure:
            raise self.failure

    async def load(self):
        well_behaved = [await self.connect(self.echo) for _ in range(self.plan.well_behaved)]
        hashing = [await self.connect(self.sha256) for _ in range(self.plan.hashing)]
        for _ in range(self.plan.half_sent):
            (await self.connect(self.echo)).write(b"half a li")
        stuck = [self.never_read() for _ in range(self.plan.never_reading)]
        self.stuck = {"{}:{}".format(*peer.getsockname()) for peer in stuck}
        self.connected.set()
        jobs = [
            asyncio.create_task(self.pace(well_behaved)),
            asyncio.create_task(self.hash(hashing)),
            asyncio.create_task(self.churn()),
        ]
        await asyncio.gather(*jobs)
        while not self.halt.is_set():
            await asyncio.sleep(TICK)
        for peer in stuck:
            peer.close()
        for writer in self.open:
            writer.close()

    async def connect(self, address):
        reader, writer = await asyncio.open_connection(*address)
        # Reads all replies: an unread socket would make this a client that never reads.
        writer.swallowing = asyncio.create_task(swallow(reader))
        self.open.append(writer)
        return writer

    def never_read(self):
        """Connects, sends until the socket blocks, and never reads."""
        peer = socket.socket()
        # Small buffers fill after few bytes, which saves kernel memory.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        peer.connect(self.stalled)
        peer.settimeout(0.02)
        try:
            while True:
                peer.sendall(LINE * 1024)
        except TimeoutError:
            return peer

    async def ticks(self):
        """Yields a number for every tick since the start. Late ticks follow at once, so counts are exact."""
        begin, at = time.monotonic(), 0
        while not self.halt.is_set():
            yield at
            at += 1
            await asyncio.sleep(max(0.0, begin + at * TICK - time.monotonic()))

    async def pace(self, well_behaved):
        batches = round(self.plan.lines_per_second * TICK / PAIRS)
        turn = 0
        async for _ in self.ticks():
            for _ in range(batches):
                if self.tally.sent == self.plan.lines:
                    return
                well_behaved[turn % len(well_behaved)].write(LINE * PAIRS)
                turn += 1
                self.tally.sent += PAIRS
            self.tally.history.append((time.time(), self.tally.sent))

    async def hash(self, hashing):
        lines = round(self.plan.hashed_per_second * TICK)
        turn = 0
        async for _ in self.ticks():
            if self.tally.sent == self.plan.lines:
                return
            for _ in range(lines):
                hashing[turn % len(hashing)].write(LINE)
                turn += 1
                self.tally.hashed += 1

    async def churn(self):
        """Twice a second, one client ends in the middle of a line and one resets its connection."""
        async for at in self.ticks():
            if self.tally.sent == self.plan.lines:
                return
            if at % 5:
                continue
            _, writer = await asyncio.open_connection(*self.echo)
            writer.write(b"cut sho")
            await writer.drain()
            writer.close()
            self.tally.cut_short += 1
            _, writer = await asyncio.open_connection(*self.echo)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # Wait for the accept: a connection reset in the accept queue is not counted.
            await asyncio.sleep(0.05)
            writer.transport.abort()
            self.tally.reset += 1
