"""Random commands by redis-py, alone and in pipelines, against a dict.

    redis_model.py PORT COMMANDS {python|hiredis} {2|3}     the parser, and the version of the protocol
"""

import random
import sys

import redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser

KEYS = [b"k%d" % number for number in range(40)] + [b"", b"a key\0\r\n", "ключ".encode()]
INT64 = range(-(2**63), 2**63)
FAILS = redis.ResponseError


def integer(value):
    """As the server reads one; `None` if it is none."""
    text = value.decode("ascii", "replace")
    is_number = text.lstrip("-").isdecimal() and text.count("-") <= 1 and text.isascii()
    return int(text) if is_number and int(text) in INT64 else None


class Model:
    """What the server should answer."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value, **option):
        if (option.get("nx") and key in self.values) or (option.get("xx") and key not in self.values):
            return None
        self.values[key] = value
        return True

    def setnx(self, key, value):
        return self.set(key, value, nx=True) is True

    def getset(self, key, value):
        old = self.values.get(key)
        self.values[key] = value
        return old

    def getdel(self, key):
        return self.values.pop(key, None)

    def mset(self, values):
        self.values.update(values)
        return True

    def delete(self, *keys):
        return sum(self.values.pop(key, None) is not None for key in keys)

    def exists(self, *keys):
        return sum(key in self.values for key in keys)

    def strlen(self, key):
        return len(self.values.get(key, b""))

    def dbsize(self):
        return len(self.values)

    def echo(self, text):
        return text

    def incrby(self, key, number):
        old = integer(self.values.get(key, b"0"))
        if old is None or old + number not in INT64:
            return FAILS
        self.values[key] = b"%d" % (old + number)
        return old + number

    def decrby(self, key, number):
        return self.incrby(key, -number)


def value(rng):
    kind = rng.random()
    if kind < 0.4:
        return b"%d" % rng.randrange(-1000, 1000)
    if kind < 0.45:
        return b"%d" % (2**63 - 1)
    return rng.randbytes(rng.randrange(100_000) if kind > 0.999 else rng.randrange(40))


def command(rng):
    """A method of client and model alike, with its arguments."""
    key, keys = rng.choice(KEYS), rng.choices(KEYS, k=rng.randrange(1, 5))
    number = rng.randrange(-(10**6), 10**6)
    return rng.choice([
        ("get", [key], {}), ("get", [key], {}), ("getdel", [key], {}), ("strlen", [key], {}),
        ("set", [key, value(rng)], rng.choice([{}, {}, {}, {"nx": True}, {"xx": True}])),
        ("set", [key, value(rng)], {}), ("setnx", [key, value(rng)], {}),
        ("getset", [key, value(rng)], {}), ("mset", [{key: value(rng) for key in keys}], {}),
        ("delete", keys, {}), ("exists", keys, {}), ("dbsize", [], {}), ("echo", [value(rng)], {}),
        ("incrby", [key, number], {}), ("decrby", [key, number], {}),
    ])


def outcome(method, args, options):
    try:
        return method(*args, **options)
    except redis.ResponseError:
        return FAILS


def main(port, count, parser, protocol):
    python_parser = {2: _RESP2Parser, 3: _RESP3Parser}[protocol]
    parser = {"python": python_parser, "hiredis": _HiredisParser}[parser]
    pools = [
        redis.ConnectionPool(host="127.0.0.1", port=port, parser_class=parser, protocol=protocol)
        for _ in range(2)
    ]
    clients = [redis.Redis(connection_pool=pool) for pool in pools]
    clients[0].flushall()
    rng, model, done = random.Random(1), Model(), 0
    while done < count:
        client = rng.choice(clients)
        commands = [command(rng) for _ in range(rng.choice([1, 1, 1, rng.randrange(2, 100)]))]
        expected = [getattr(model, name)(*args, **options) for name, args, options in commands]
        if len(commands) == 1:
            name, args, options = commands[0]
            got = [outcome(getattr(client, name), args, options)]
        else:
            pipeline = client.pipeline(transaction=False)
            for name, args, options in commands:
                getattr(pipeline, name)(*args, **options)
            got = [FAILS if isinstance(reply, FAILS) else reply for reply in pipeline.execute(False)]
        for (name, args, _), reply, right in zip(commands, got, expected, strict=True):
            assert reply == right, f"{name} {args}: {reply!r}, expected {right!r}"
        done += len(commands)
    print(f"{done} commands agree with a dict")


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
