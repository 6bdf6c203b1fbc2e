#!/usr/bin/env python3
"""Draws the dashboards of servers under load into docs/images.

    render.py --towline PATH --prometheus PATH --node-exporter PATH --chromium PATH \
              --modules NODE_MODULES [--pubsub PATH] [--into DIRECTORY] [--also DIRECTORY] [--workers N]

NODE_MODULES is the directory that `npm install --ignore-scripts` makes from the package.json beside this file.
With the path of the example pubsub it draws the dashboard of pushes and commands, else the other six. With
`--workers`, the servers look as if they had so many. With `--also`, writes pictures in light colours and for a
narrow screen there, to look at. Needs a descriptor limit of 20,000 and takes five minutes. Run it in a network
namespace of its own (`unshare -n`, then `ip link set lo up`): the kernel's counters are those of a whole namespace.
Check the pictures before you commit them.
"""

import argparse
import functools
import http.server
import json
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
import scene  # noqa: E402
import workers  # noqa: E402
from stack import WINDOW, running  # noqa: E402

IMAGES = HERE.parent.parent / "docs" / "images"
# The dashboard that only programs of the library fill.
PUSHES = "towline-pushes"
SECONDS = 150
WIDTH, NARROW = 24 * 62 + 8, 500
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


def height(uid, narrow):
    panels = json.loads((HERE.parent / "grafana" / "dashboards" / f"{uid}.json").read_text())["panels"]
    if narrow:
        return sum(panel["gridPos"]["h"] * 36 + 8 for panel in panels) + 64
    return max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * 36 + 64


def shoot(chromium, page, url, picture, uid, now, folder, narrow=False, mode="dark"):
    asked = {"uid": uid, "prometheus": url, "window": WINDOW, "from": now - SECONDS + 5, "to": now, "mode": mode}
    if narrow:
        asked["narrow"] = 1
    subprocess.run(
        [
            chromium,
            "--headless=new",
            # Chromium's sandbox does not work for root in a container. The page is our own.
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--window-size={NARROW if narrow else WIDTH},{height(uid, narrow)}",
            "--virtual-time-budget=40000",
            f"--screenshot={picture}",
            f"{page}/index.html?{urllib.parse.urlencode(asked)}",
        ],
        check=True,
        timeout=120,
        stderr=subprocess.DEVNULL,
    )
    print(f"{picture.name}: {picture.stat().st_size // 1000} kB", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    for name in ("towline", "prometheus", "node-exporter", "chromium", "modules"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--pubsub")
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--also", type=Path)
    arguments.add_argument("--into", type=Path, default=IMAGES)
    given = arguments.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)

    def scraped(servers):
        return [workers.proxied(s, given.workers) if given.workers else s.admin for s in servers]

    with tempfile.TemporaryDirectory(prefix="towline-render-") as folder:
        bundle(given.modules, folder)
        for path in queries.DASHBOARDS:
            (Path(folder) / path.name).write_text(path.read_text())
        page = serve(folder)
        programs = (given.towline, given.prometheus, given.node_exporter)
        drawn = [path for path in queries.DASHBOARDS if (path.stem == PUSHES) == bool(given.pubsub)]
        with running(*programs, scene.FLAGS, scraped, given.pubsub) as (servers, prometheus):
            if given.pubsub:
                scenes = scene.published(given.towline, servers[-1], SECONDS)
            else:
                scenes = scene.played(given.towline, servers, SECONDS)
            for _ in scenes:
                now = int(time.time()) - 2
                for path in drawn:
                    asked = (given.chromium, page, prometheus.url)
                    shoot(*asked, given.into / f"{path.stem}.png", path.stem, now, folder)
                    if given.also:
                        shoot(*asked, given.also / f"{path.stem}-light.png", path.stem, now, folder, mode="light")
                        shoot(*asked, given.also / f"{path.stem}-narrow.png", path.stem, now, folder, narrow=True)


if __name__ == "__main__":
    main()
