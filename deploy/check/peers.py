"""Clients for the checks of containers and units. Each command prints a line, and fails on a wrong reply.

    peers.py echo HOST PORT LINE [REPLY]         sends one line and compares the reply
    peers.py hold HOST PORT PEERS SECONDS LOST   ping-pong over PEERS connections; at most LOST of them
                                                 may end early
    peers.py drain HOST PORT PEERS READY ADMIN   pipelines lines until the server ends the connections;
                                                 creates the file READY once all are busy, reads the
                                                 metrics of ADMIN
    peers.py visit HOST PORT PEERS OVER          connects, sends one line and disconnects, repeatedly
                                                 until the file OVER exists; no connection may be
                                                 refused or reset
"""

import asyncio
import sys
import time
from pathlib import Path


async def echo(host, port, line, reply=None):
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(line.encode() + b"\n")
    found = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    if found != (reply or line).encode() + b"\n":
        sys.exit(f"sent {line!r}, got {found!r}")
    print(f"{line} -> {found.decode().strip()[:16]}")


async def hold(host, port, peers, seconds, lost):
    end = time.monotonic() + float(seconds)

    async def one(number):
        reader, writer = await asyncio.open_connection(host, int(port))
        lines = 0
        try:
            while time.monotonic() < end:
                line = b"%d %d\n" % (number, lines)
                writer.write(line)
                if await asyncio.wait_for(reader.readline(), 5) != line:
                    return lines, True
                lines += 1
                await asyncio.sleep(0.02)
        except OSError:
            return lines, True
        writer.close()
        return lines, False

    seen = await asyncio.gather(*(one(number) for number in range(int(peers))))
    cut = sum(ended for _, ended in seen)
    print(f"{sum(lines for lines, _ in seen)} lines over {peers} connections, {cut} cut")
    if cut > int(lost) or sum(lines for lines, _ in seen) < int(peers):
        sys.exit(f"{cut} connections were cut, {lost} may be")


async def visit(host, port, peers, over):
    """A drain may end a connection before its line is read, but only with an orderly close."""
    answered = ended = 0

    async def one():
        nonlocal answered, ended
        while not Path(over).exists():
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"a line\n")
            reply = await asyncio.wait_for(reader.read(7), 20)
            if reply not in (b"a line\n", b""):
                sys.exit(f"sent b'a line\\n', got {reply!r}")
            answered, ended = answered + bool(reply), ended + (not reply)
            writer.close()

    await asyncio.gather(*(one() for _ in range(int(peers))))
    print(f"{answered} connections answered, {ended} closed in order, none refused or reset")
    if not answered:
        sys.exit("no connection was answered")


async def drain(host, port, peers, ready, admin):
    """Replies must be a prefix of what was sent, without gaps, followed by an orderly close.

    A reset would discard replies in transit; a gap or a partial line would be a line that was read and
    not answered. Every line that the server counted as received must have its reply."""
    busy, window, last = 0, 64, {}

    async def one(number):
        nonlocal busy
        reader, writer = await asyncio.open_connection(host, int(port))
        sent = 0

        async def send():
            nonlocal sent
            while True:
                writer.write(b"".join(b"%d %d\n" % (number, sent + at) for at in range(window)))
                sent += window
                await writer.drain()
                await asyncio.sleep(0.005)

        sending = asyncio.create_task(send())
        got = 0
        try:
            while line := await reader.readline():
                if line != b"%d %d\n" % (number, got):
                    sys.exit(f"connection {number}: line {got} was answered {line!r}")
                got += 1
                busy += got == 1
        except ConnectionResetError:
            sys.exit(f"connection {number} was reset after {got} replies")
        finally:
            sending.cancel()
            writer.close()
        return got

    async def watch():
        """Keeps the highest counters that the server exported before it exited."""
        address, port = admin.split(":")
        while True:
            try:
                reader, writer = await asyncio.open_connection(address, int(port))
                writer.write(b"GET /metrics HTTP/1.1\r\nhost: check\r\n\r\n")
                text = (await reader.read()).decode()
                writer.close()
            except OSError:
                return
            for name in ("towline_draining", "towline_lines_received_total"):
                found = [line for line in text.splitlines() if line.startswith(name + " ")]
                if found:
                    last[name] = max(last.get(name, 0.0), float(found[0].split()[1]))
            await asyncio.sleep(0.02)

    running = [asyncio.create_task(one(number)) for number in range(int(peers))]
    watching = asyncio.create_task(watch())
    while busy < int(peers):
        await asyncio.sleep(0.01)
        for task in running:
            if task.done():
                task.result()
    Path(ready).touch()
    answered = sum(await asyncio.gather(*running))
    await watching
    received = int(last.get("towline_lines_received_total", 0))
    if answered < received:
        sys.exit(f"the server had received {received} lines, and {answered} were answered")
    print(
        f"{answered} lines answered in order on {peers} connections, all closed in order; "
        f"the server's last scrape had {received} received"
    )


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    asyncio.run({"echo": echo, "hold": hold, "drain": drain, "visit": visit}[command](*rest))
