"""Peers for the checks of containers and units: each says in one line what it saw, and fails if that is wrong.

    peers.py echo HOST PORT LINE [REPLY]         one line, one reply
    peers.py hold HOST PORT PEERS SECONDS LOST   ping-pong lines on many connections; at most LOST
                                                 may end before the time is over
    peers.py drain HOST PORT PEERS READY DONE    pipelines lines until the server ends the connection;
                                                 creates READY once all are busy, reads DONE's metrics
    peers.py visit HOST PORT PEERS OVER          connects, asks one line and leaves, again and again
                                                 until OVER exists; nobody may be refused or reset
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
    """A drain may end a connection before its line is taken, but only in order."""
    answered = ended = 0

    async def one():
        nonlocal answered, ended
        while not Path(over).exists():
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"visitor\n")
            reply = await asyncio.wait_for(reader.read(8), 20)
            if reply not in (b"visitor\n", b""):
                sys.exit(f"sent a visitor, got {reply!r}")
            answered, ended = answered + bool(reply), ended + (not reply)
            writer.close()

    await asyncio.gather(*(one() for _ in range(int(peers))))
    print(f"{answered} visitors answered, {ended} sent away in order, none refused or reset")
    if not answered:
        sys.exit("nobody was answered")


async def drain(host, port, peers, ready, admin):
    """Replies must be a gapless beginning of what was sent, and the end an orderly one.

    A reset would throw away replies on their way; a gap or half a line would be a line that was
    taken and not answered. What the server had received at its end it must have answered."""
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
        """What the server counted, until it is gone."""
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
        f"{answered} lines answered in order on {peers} connections, all ended in order; "
        f"the server's last word was {received} received"
    )


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    asyncio.run({"echo": echo, "hold": hold, "drain": drain, "visit": visit}[command](*rest))
