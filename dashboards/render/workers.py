"""Metrics of a server with many workers, for pictures of it on a host with few cores."""

import http.server
import random
import re
import threading
import urllib.request

SERIES = re.compile(r'^(towline_worker_(?:connections|busy_seconds_total))\{worker="0"\} (\S+)$', flags=re.M)


def multiplied(exposition, count):
    """The exposition with `count` workers, each with its own share of what the first worker has."""

    def of_all(found):
        name, value = found[1], float(found[2])
        shares = random.Random(name)
        lines = (f'{name}{{worker="{at}"}} {value * shares.uniform(0.6, 1.3):.6f}' for at in range(count))
        return "\n".join(lines)

    others = re.sub(r'^towline_worker_\w+\{worker="[1-9]\d*"\} .*\n', "", exposition, flags=re.M)
    return SERIES.sub(of_all, others)


def proxied(server, count):
    """The address at which `server` has `count` workers."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            try:
                with urllib.request.urlopen(f"http://{server.admin}{self.path}") as answer:
                    kind, body = answer.headers["content-type"], answer.read().decode()
            except OSError:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(multiplied(body, count).encode())

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    return "{}:{}".format(*proxy.server_address)
