"""Publishers and subscribers of the example `pubsub`, with known counts, to compare dashboards with."""

import asyncio
import socket
import threading
import time
from dataclasses import dataclass, field

import queries
from faults import instances, scraped
from stack import filled_in, wait

SUBSCRIBERS = 20
# Messages in one write of the publisher.
TOGETHER = 5
TICK = 0.1
TEXT = b"the same thirty-two bytes a text"
# Subscribers that never read. The alert counts over five minutes: so many at once are more than six a minute.
STUCK = 40
# More than the kernel and `push.connection_bytes` hold for one of them.
FLOOD = b"x" * 256 * 1024
FLOODS_MAX = 100


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


PUBLISH = command(b"PUBLISH", b"news", TEXT)
MESSAGE = command(b"message", b"news", TEXT)
# A command that the example does not have.
UNKNOWN = command(b"NOSUCH")


@dataclass
class Tally:
    published: int = 0
    unknown: int = 0
    # Messages that each subscriber received.
    received: list = field(default_factory=lambda: [0] * SUBSCRIBERS)
    # Pairs of a time and the number of messages published until then.
    history: list = field(default_factory=list)

    def rate(self, begin, end):
        inside = [(at, published) for at, published in self.history if begin <= at <= end]
        (first, low), (last, high) = inside[0], inside[-1]
        return (high - low) / (last - first)


class Publishing(threading.Thread):
    """A thread with one publisher, and subscribers that read what they get."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address = address
        self.tally = Tally()
        self.connected = threading.Event()
        self.halt = threading.Event()
        self.failure = None
        # The subscribers and the publisher.
        self.held = SUBSCRIBERS + 1

    def run(self):
        try:
            asyncio.run(self.publish())
        except Exception as error:  # noqa: BLE001  raised again by finish()
            self.failure = error
        finally:
            self.connected.set()

    def finish(self):
        self.halt.set()
        self.join()
        if self.failure:
            raise self.failure

    async def publish(self):
        subscribers = [asyncio.create_task(self.subscribe(at)) for at in range(SUBSCRIBERS)]
        reader, writer = await asyncio.open_connection(*self.address)
        numsub = command(b"PUBSUB", b"NUMSUB", b"news")
        counted = b""
        while counted != b":%d\r\n" % SUBSCRIBERS:
            writer.write(numsub)
            await reader.readuntil(b"news\r\n")
            counted = await reader.readline()
        self.connected.set()
        while not self.halt.is_set():
            writer.write(PUBLISH * TOGETHER + UNKNOWN)
            for _ in range(TOGETHER):
                reply = await reader.readline()
                if reply != b":%d\r\n" % SUBSCRIBERS:
                    raise ValueError(f"PUBLISH is answered with {reply}")
                self.tally.published += 1
            reply = await reader.readline()
            if not reply.startswith(b"-"):
                raise ValueError(f"an unknown command is answered with {reply}")
            self.tally.unknown += 1
            self.tally.history.append((time.time(), self.tally.published))
            await asyncio.sleep(TICK)
        # Until each has all.
        while min(self.tally.received) < self.tally.published:
            await asyncio.sleep(TICK)
        for subscriber in subscribers:
            subscriber.cancel()

    async def subscribe(self, at):
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(command(b"SUBSCRIBE", b"news"))
        await reader.readuntil(b":1\r\n")
        while True:
            message = await reader.readexactly(len(MESSAGE))
            if message != MESSAGE:
                raise ValueError(f"a subscriber received {message}")
            self.tally.received[at] += 1


def values(prometheus, publishing, found, now, seconds):
    """Panels whose values the publisher determines."""

    def ask(panel):
        (series,) = prometheus.query(filled_in(queries.panel(f"towline-pushes: {panel}")), now)
        return float(series["value"][1])

    published = publishing.tally.rate(now - seconds - 1, now - 1)
    wanted = published * SUBSCRIBERS
    deliveries = by_label(prometheus, "Deliveries", "result", now)
    found.value("deliveries/s", deliveries.get("sent", 0), wanted * 0.9, wanted * 1.1)
    found.value("messages per write", ask("Messages per write"), 1, TOGETHER)
    commands = by_label(prometheus, "Commands", "command", now)
    found.value("PUBLISH/s", commands.get("PUBLISH", 0), published * 0.9, published * 1.1)
    failed = by_label(prometheus, "Failed commands", "command", now)
    found.expect(set(failed) == {"other"}, f"failed commands are {failed}, and only unknown ones were sent")


def by_label(prometheus, panel, label, now):
    query = filled_in(queries.panel(f"towline-pushes: {panel}"))
    return {series["metric"][label]: float(series["value"][1]) for series in prometheus.query(query, now)}


def totals(server, publishing, sample, found):
    """Counters that must be exact once nothing is published any more."""
    exposition, tally = server.metrics(), publishing.tally
    found.expect(
        set(tally.received) == {tally.published},
        f"{tally.published} messages were published, and the subscribers received {tally.received}",
    )
    for what, series, wanted in (
        ("messages delivered", 'towline_pushes_total{result="sent"}', tally.published * SUBSCRIBERS),
        ("bytes delivered", "towline_push_bytes_total", tally.published * SUBSCRIBERS * len(MESSAGE)),
        ("PUBLISH", 'towline_commands_total{command="PUBLISH",result="ok"}', tally.published),
        ("unknown commands", 'towline_commands_total{command="other",result="error"}', tally.unknown),
    ):
        found.value(what, sample(exposition, series), wanted, wanted)


def flood(server):
    """Publishes to subscribers that do not read until all of them are closed. Returns their sockets."""
    stuck = []
    for _ in range(STUCK):
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(server.address)
        peer.sendall(command(b"SUBSCRIBE", b"flood"))
        # The confirmation, after which it is subscribed.
        peer.recv(64)
        stuck.append(peer)
    with socket.create_connection(server.address) as publisher:
        replies = publisher.makefile("rb")
        for _ in range(FLOODS_MAX):
            publisher.sendall(command(b"PUBLISH", b"flood", FLOOD))
            if replies.readline() == b":0\r\n":
                break
    closed = f'towline_slow_consumers_total{{action="closed"}} {STUCK}\n'
    wait("the slow consumers", lambda: closed in server.metrics())
    return stuck


def slow(server, prometheus, found):
    """Subscribers that do not read are closed, which raises the alert."""
    stuck = flood(server)
    scraped()
    shown = instances(prometheus, filled_in(queries.panel("towline-pushes: Closed as slow consumers")))
    found.expect(shown[server.admin] > 0, f"slow consumers are closed, and the panel shows {shown}")
    pending = instances(prometheus, 'ALERTS{alertname="TowlineSlowConsumersClosed"}')
    found.expect(set(pending) == {server.admin}, f"TowlineSlowConsumersClosed is pending for {set(pending)}")
    found.facts.append(f"slow consumers closed {STUCK}")
    for peer in stuck:
        peer.close()
