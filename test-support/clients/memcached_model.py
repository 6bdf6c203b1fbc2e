"""Random commands by a memcached client, against a dict.

    memcached_model.py PORT COMMANDS {pymemcache|python-memcached|pylibmc}
"""

import random
import sys

KEYS = [f"k{number}" for number in range(40)] + ["k" * 200]


class Pymemcache:
    def __init__(self, port):
        from pymemcache.client.base import Client

        self.client = Client(("127.0.0.1", port), default_noreply=False)
        # Two requests without a reply between them: the second waits for an acknowledgement else.
        self.quiet = Client(("127.0.0.1", port), default_noreply=True, no_delay=True)

    def get(self, key):
        return self.client.get(key)

    def get_many(self, keys):
        return self.client.get_many(keys)

    def set(self, key, value):
        return self.client.set(key, value)

    def add(self, key, value):
        return self.client.add(key, value)

    def replace(self, key, value):
        return self.client.replace(key, value)

    def append(self, key, value):
        return self.client.append(key, value)

    def prepend(self, key, value):
        return self.client.prepend(key, value)

    def delete(self, key):
        return self.client.delete(key)

    def incr(self, key, by):
        return self.client.incr(key, by)

    def decr(self, key, by):
        return self.client.decr(key, by)

    def cas(self, key, value):
        """Twice with the same version: only the first is taken."""
        old, version = self.client.gets(key)
        if old is None:
            return None
        return self.client.cas(key, value, version), self.client.cas(key, b"late", version)

    def unheard(self, key, value):
        self.quiet.set(key, value)
        # Answered behind it, so it has been done.
        self.quiet.get(key)
        return None

    def flush(self):
        return self.client.flush_all()


class PythonMemcached:
    def __init__(self, port):
        import memcache

        self.client = memcache.Client([f"127.0.0.1:{port}"])

    def get(self, key):
        return self.client.get(key)

    def get_many(self, keys):
        return self.client.get_multi(keys)

    def set(self, key, value):
        return bool(self.client.set(key, value))

    def add(self, key, value):
        return bool(self.client.add(key, value))

    def replace(self, key, value):
        return bool(self.client.replace(key, value))

    def incr(self, key, by):
        return self.client.incr(key, by)

    def decr(self, key, by):
        return self.client.decr(key, by)

    def flush(self):
        self.client.flush_all()
        return True


class Pylibmc:
    def __init__(self, port):
        import pylibmc

        self.missing = pylibmc.NotFound
        self.client = pylibmc.Client([f"127.0.0.1:{port}"], binary=False, behaviors={"cas": True})

    def get(self, key):
        return self.client.get(key)

    def get_many(self, keys):
        return self.client.get_multi(keys)

    def set(self, key, value):
        return self.client.set(key, value)

    def add(self, key, value):
        return self.client.add(key, value)

    def replace(self, key, value):
        try:
            return self.client.replace(key, value)
        except self.missing:
            return False

    def delete(self, key):
        return self.client.delete(key)

    def incr(self, key, by):
        try:
            return self.client.incr(key, by)
        except self.missing:
            return None

    def cas(self, key, value):
        old, version = self.client.gets(key)
        if old is None:
            return None
        return self.client.cas(key, value, version), self.client.cas(key, b"late", version)

    def flush(self):
        return self.client.flush_all()


class Model:
    """What the server should answer."""

    def __init__(self):
        self.values = {}

    def get(self, key):
        return self.values.get(key)

    def get_many(self, keys):
        return {key: self.values[key] for key in keys if key in self.values}

    def set(self, key, value):
        self.values[key] = value
        return True

    def add(self, key, value):
        return key not in self.values and self.set(key, value)

    def replace(self, key, value):
        return key in self.values and self.set(key, value)

    def append(self, key, value):
        return key in self.values and self.set(key, self.values[key] + value)

    def prepend(self, key, value):
        return key in self.values and self.set(key, value + self.values[key])

    def delete(self, key):
        return self.values.pop(key, None) is not None

    def incr(self, key, by):
        if key not in self.values:
            return None
        number = int(self.values[key]) + by
        self.values[key] = b"%d" % number
        return number

    def decr(self, key, by):
        if key not in self.values:
            return None
        number = max(int(self.values[key]) - by, 0)
        self.values[key] = b"%d" % number
        return number

    def cas(self, key, value):
        if key not in self.values:
            return None
        return self.set(key, value), False

    def unheard(self, key, value):
        self.set(key, value)

    def flush(self):
        self.values.clear()
        return True


def main(port, count, client):
    client = {"pymemcache": Pymemcache, "python-memcached": PythonMemcached, "pylibmc": Pylibmc}[client](port)
    rng, model = random.Random(1), Model()
    names = [name for name in vars(type(client)) if not name.startswith("_")]
    client.flush()
    for number in range(count):
        name, key = rng.choice(names), rng.choice(KEYS)
        text = rng.randbytes(rng.randrange(100_000) if rng.random() > 0.999 else rng.randrange(1, 60))
        match name:
            case "get" | "delete":
                args = [key]
            case "get_many":
                args = [rng.sample(KEYS, 5)]
            case "incr" | "decr":
                # Numbers have keys of their own.
                key = f"n{rng.randrange(5)}"
                if rng.random() < 0.2:
                    assert client.set(key, b"%d" % number) == model.set(key, b"%d" % number)
                args = [key, rng.randrange(1, 1000)]
            case "flush":
                if rng.random() > 0.01:
                    continue
                args = []
            case _:
                args = [key, text]
        got, right = getattr(client, name)(*args), getattr(model, name)(*args)
        assert got == right, f"{name} {args}: {got!r}, expected {right!r}"
    print(f"{count} commands agree with a dict")


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
