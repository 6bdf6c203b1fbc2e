#!/usr/bin/env python3
"""Draws the six dashboards of servers under load into docs/images.

    render.py --towline PATH --prometheus PATH --node-exporter PATH --chromium PATH \
              --modules NODE_MODULES [--mode dark|light]

NODE_MODULES is the directory that `npm install --ignore-scripts` makes from the package.json beside
this file. Takes three minutes. Check the pictures before you commit them.
"""

import argparse
import functools
import http.server
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import queries  # noqa: E402  needs the path above
from load import Load, Plan  # noqa: E402
from stack import WINDOW, running  # noqa: E402

IMAGES = HERE.parent.parent / "docs" / "images"
SECONDS = 110
WIDTH = 24 * 62 + 8
PAGE = (
    '<!doctype html><meta charset="utf-8"><body style="margin:8px"><div id="root"></div>'
    '<link rel="stylesheet" href="page.css"><script src="page.js"></script>'
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def bundle(modules, folder):
    subprocess.run(
        [
            f"{modules}/.bin/esbuild",
            str(HERE / "page.jsx"),
            "--bundle",
            "--loader:.ttf=dataurl",
            "--loader:.svg=dataurl",
            "--log-level=error",
            '--define:process.env.NODE_ENV="production"',
            "--jsx=transform",
            f"--outfile={folder}/page.js",
        ],
        check=True,
        env={"NODE_PATH": modules, "PATH": "/usr/bin:/bin"},
    )
    (Path(folder) / "index.html").write_text(PAGE)


def serve(folder):
    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def loaded(servers):
    """Puts a light load on the servers, then three times the lines and clients that stop reading."""
    addresses = [server.address for server in servers]
    calm = Load(*addresses, Plan(lines=10**9, never_reading=5))
    calm.start()
    time.sleep(SECONDS * 0.45)
    rush = Load(
        *addresses,
        Plan(well_behaved=300, lines=10**9, lines_per_second=6000, hashed_per_second=2000, never_reading=45),
    )
    rush.start()
    # A reload without a change, so that the panel of reloads shows one.
    servers[0].process.send_signal(signal.SIGHUP)
    time.sleep(SECONDS * 0.35)
    rush.finish()
    time.sleep(SECONDS * 0.2)
    return calm


def height(uid):
    panels = json.loads((HERE.parent / "grafana" / "dashboards" / f"{uid}.json").read_text())["panels"]
    return max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * 36 + 64


def shoot(chromium, page, url, uid, mode, now, folder):
    asked = {
        "uid": uid,
        "prometheus": url,
        "window": WINDOW,
        "from": now - SECONDS + 5,
        "to": now,
        "mode": mode,
    }
    picture = IMAGES / f"{uid}.png"
    subprocess.run(
        [
            chromium,
            "--headless=new",
            # Chromium's sandbox does not work for root in a container. The page is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--window-size={WIDTH},{height(uid)}",
            "--virtual-time-budget=40000",
            f"--screenshot={picture}",
            f"{page}/index.html?{urllib.parse.urlencode(asked)}",
        ],
        check=True,
        timeout=120,
        stderr=subprocess.DEVNULL,
    )
    print(f"{picture.name}: {picture.stat().st_size // 1000} kB")


def main():
    arguments = argparse.ArgumentParser()
    for name in ("towline", "prometheus", "node-exporter", "chromium", "modules"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--mode", default="dark")
    given = arguments.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="towline-render-") as folder:
        bundle(given.modules, folder)
        for path in queries.DASHBOARDS:
            (Path(folder) / path.name).write_text(path.read_text())
        page = serve(folder)
        with running(given.towline, given.prometheus, given.node_exporter) as (servers, prometheus):
            calm = loaded(servers)
            now = int(time.time()) - 2
            for path in queries.DASHBOARDS:
                shoot(given.chromium, page, prometheus.url, path.stem, given.mode, now, folder)
            calm.finish()


if __name__ == "__main__":
    main()
