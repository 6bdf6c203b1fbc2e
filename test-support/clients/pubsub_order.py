"""Subscribers by redis-py on connections of their own, which must hear every message, in order.

    pubsub_order.py PORT MESSAGES {2|3}     the version of the protocol
"""

import sys
import threading

import redis

SUBSCRIBERS = 20
# Published before all subscribers must have heard them: what waits for a connection is bounded.
ROUND = 500
PATIENCE_SECONDS = 60


def client(port, protocol):
    return redis.Redis(host="127.0.0.1", port=port, protocol=protocol, socket_timeout=PATIENCE_SECONDS)


def listen(subscription, count, heard, failures):
    try:
        for number in range(count):
            message = subscription.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS)
            while message is None:
                message = subscription.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS)
            expected = b"%d \r\n" % number
            assert message["data"] == expected, f"{message}, expected {expected}"
            if number % ROUND == ROUND - 1:
                heard.release()
        subscription.unsubscribe()
        while subscription.subscribed:
            subscription.get_message(timeout=PATIENCE_SECONDS)
    except Exception as failure:
        failures.append(failure)
        heard.release(count)


def main(port, count, protocol):
    count -= count % ROUND
    heard, failures, threads = threading.Semaphore(0), [], []
    for number in range(SUBSCRIBERS):
        subscription = client(port, protocol).pubsub()
        subscription.subscribe("news", f"other {number}")
        for _ in range(2):
            assert subscription.get_message(timeout=PATIENCE_SECONDS)["type"] == "subscribe"
        threads.append(threading.Thread(target=listen, args=(subscription, count, heard, failures)))
        threads[-1].start()
    publisher = client(port, protocol)
    assert publisher.pubsub_numsub("news", "none") == [(b"news", SUBSCRIBERS), (b"none", 0)]
    for first in range(0, count, ROUND):
        pipeline = publisher.pipeline(transaction=False)
        for number in range(first, first + ROUND):
            pipeline.publish("news", b"%d \r\n" % number)
        reached = pipeline.execute()
        assert failures or reached == [SUBSCRIBERS] * ROUND, reached
        for _ in range(SUBSCRIBERS):
            assert heard.acquire(timeout=PATIENCE_SECONDS)
        assert not failures, failures
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert publisher.publish("news", "nobody") == 0
    print(f"{SUBSCRIBERS} subscribers heard {count} messages each, in order")


main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
