"""How late the host runs a thread that is ready: one that is busy or suspended makes all servers late."""

import threading
import time

INTERVAL = 0.05


class Host(threading.Thread):
    """Samples the delay of a thread of this process, as servers do of theirs."""

    def __init__(self):
        super().__init__(daemon=True)
        # Pairs of a time and a delay.
        self.samples = []

    def run(self):
        due = time.monotonic()
        while True:
            due += INTERVAL
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            self.samples.append((now, now - due))

    def late(self, bound, seconds=float("inf")):
        """Share of the samples of the last seconds that were later than a bound."""
        since = time.monotonic() - seconds
        delays = [delay for at, delay in self.samples if at >= since]
        return sum(delay > bound for delay in delays) / len(delays)
