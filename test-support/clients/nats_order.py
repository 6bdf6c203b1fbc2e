"""Subscribers and publishers by nats-py: order, wildcards, requests, and payloads of 1 MiB.

    nats_order.py PORT MESSAGES
"""

import asyncio
import sys

import nats

SUBJECTS = 100
# Published before all must have come: what waits for a connection is bounded.
ROUND = 100
PATIENCE_SECONDS = 60


async def connect(port, failures):
    async def failed(failure):
        failures.append(failure)

    return await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, error_cb=failed)


async def taken(client):
    """Waits until the server has all that the client said. Its PING overtakes what is pending in the client."""
    while client.pending_data_size:
        await client.flush()
    await client.flush()


async def order(publisher, subscriber, count):
    """Each subject by a subscription of its own, and all of them by one with a wildcard."""
    each = [await subscriber.subscribe(f"news.{subject}.x") for subject in range(SUBJECTS)]
    every = await subscriber.subscribe("news.*.x")
    rest = await subscriber.subscribe("news.>")
    await taken(subscriber)
    for first in range(0, count, ROUND):
        for number in range(first, first + ROUND):
            await publisher.publish(f"news.{number % SUBJECTS}.x", b"%d\r\n\0" % number)
        await publisher.flush()
        for number in range(first, first + ROUND):
            for subscription in (each[number % SUBJECTS], every, rest):
                message = await subscription.next_msg(PATIENCE_SECONDS)
                assert message.data == b"%d\r\n\0" % number, (message, number)
                assert message.subject == f"news.{number % SUBJECTS}.x"
    for subscription in (*each, every, rest):
        assert subscription.pending_msgs == 0
        await subscription.unsubscribe()


async def requests(client, server, count):
    async def answer(message):
        await message.respond(message.data.upper())

    service = await server.subscribe("shout.*", cb=answer)
    await taken(server)
    for number in range(count):
        reply = await client.request(f"shout.{number}", b"hello %d" % number, timeout=PATIENCE_SECONDS)
        assert reply.data == b"HELLO %d" % number
    await service.unsubscribe()


async def large(publisher, subscriber):
    payload = bytes(range(256)) * 4096
    subscription = await subscriber.subscribe("large")
    await taken(subscriber)
    for _ in range(10):
        await publisher.publish("large", payload)
        assert (await subscription.next_msg(PATIENCE_SECONDS)).data == payload
    await subscription.unsubscribe()


async def main(port, count):
    failures = []
    publisher, subscriber = await connect(port, failures), await connect(port, failures)
    await order(publisher, subscriber, count)
    await requests(publisher, subscriber, count // 10)
    await large(publisher, subscriber)
    await asyncio.gather(publisher.drain(), subscriber.drain())
    assert not failures, failures
    print(f"{count} messages on {SUBJECTS} subjects, thrice each and in order, {count // 10} requests, 10 of 1 MiB")


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
