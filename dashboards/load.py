"""A load whose counts are known, so that dashboards can be held against them.

Small on purpose and free of the project's own generator: what counts the same thing twice with one
hand proves nothing.
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
    polite: int = 200
    # In batches of `PAIRS` lines, round robin over the polite.
    lines: int = 10_000
    lines_per_second: int = 500
    hashing: int = 20
    hashed_per_second: int = 100
    never_reading: int = 50
    half_sent: int = 1


@dataclass
class Tally:
    """What the peers did, to be compared with what the server says."""

    sent: int = 0
    hashed: int = 0
    reset: int = 0
    cut_short: int = 0
    # Pairs of a moment and the lines sent until then.
    course: list = field(default_factory=list)

    def rate(self, begin, end):
        inside = [(at, sent) for at, sent in self.course if begin <= at <= end]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) / (last - first)


async def swallow(reader):
    while await reader.read(65536):
        pass


class Load(threading.Thread):
    """Peers of three servers, in a thread of their own: plain echo, SHA-256, and one whose peers
    never read."""

    def __init__(self, echo, sha256, stalled, plan=Plan()):
        super().__init__(daemon=True)
        self.echo, self.sha256, self.stalled, self.plan = echo, sha256, stalled, plan
        self.tally = Tally()
        self.connected = threading.Event()
        self.halt = threading.Event()
        self.failure = None
        self.open = []

    def run(self):
        try:
            asyncio.run(self.load())
        except Exception as error:  # noqa: BLE001  seen by whoever joins this thread
            self.failure = error
        finally:
            self.connected.set()

    def finish(self):
        self.halt.set()
        self.join()
        if self.failure:
            raise self.failure

    async def load(self):
        polite = [await self.connect(self.echo) for _ in range(self.plan.polite)]
        hashing = [await self.connect(self.sha256) for _ in range(self.plan.hashing)]
        for _ in range(self.plan.half_sent):
            (await self.connect(self.echo)).write(b"half a li")
        stuck = [self.never_read() for _ in range(self.plan.never_reading)]
        self.connected.set()
        jobs = [
            asyncio.create_task(self.pace(polite)),
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
        # Replies must leave the socket, else the polite become those who never read.
        writer.swallowing = asyncio.create_task(swallow(reader))
        self.open.append(writer)
        return writer

    def never_read(self):
        """Sends until nothing more is taken, and reads nothing."""
        peer = socket.socket()
        # Small buffers fill soon, which keeps the kernel's memory small.
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
        """Numbers of ticks since the start: late ones are made up for, so that counts stay exact."""
        begin, at = time.monotonic(), 0
        while not self.halt.is_set():
            yield at
            at += 1
            await asyncio.sleep(max(0.0, begin + at * TICK - time.monotonic()))

    async def pace(self, polite):
        batches = round(self.plan.lines_per_second * TICK / PAIRS)
        turn = 0
        async for _ in self.ticks():
            for _ in range(batches):
                if self.tally.sent == self.plan.lines:
                    return
                polite[turn % len(polite)].write(LINE * PAIRS)
                turn += 1
                self.tally.sent += PAIRS
            self.tally.course.append((time.time(), self.tally.sent))

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
        """Twice a second a peer that ends in the middle of a line, and one that resets."""
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
            # Taken into service first: what is reset in the queue is nobody's connection.
            await asyncio.sleep(0.05)
            writer.transport.abort()
            self.tally.reset += 1
