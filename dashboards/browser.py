"""A browser that opens the live page of a server, and what the page shows.

The browser prints or draws the page as soon as it has loaded completely. A proxy therefore adds an
image to the page that takes some seconds to load.
"""

import contextlib
import html
import http.server
import re
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

# How long the image loads: long enough for rates; at most so long.
SECONDS, LONG = 8, 75
# Widths in pixels. A narrower window than 500 is not possible in headless Chromium.
PHONE, DESK = 500, 1200
# When the image request ends, the widths of page and window go into the title, to be read here. The
# waiting and the open connections that the page shows are written down whenever it draws them.
SLOW = b"""<pre id="seen" hidden></pre><script>
const shows = draw;
draw = (snapshot) => {
  shows(snapshot);
  const waiting = [...document.querySelectorAll('#io tr')].map((row) => row.cells[1].textContent);
  document.querySelector('#seen').append(`${[...waiting, by('open').firstChild.textContent].join('+')}\\n`);
};
</script><img src="/slow" hidden onerror="document.title =
`${document.documentElement.scrollWidth} of ${innerWidth}`">"""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Forwards the page and its metrics, and records the requested paths. The server seems to stop
    once it has answered `answers` requests for metrics."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requested.add(self.path.partition("?")[0])
        if self.path == "/slow":
            time.sleep(self.server.seconds)
            self.send_error(404)
            return
        if self.path == "/metrics":
            self.server.answers -= 1
            if self.server.answers < 0:
                self.close_connection = True
                return
        try:
            with urllib.request.urlopen(f"http://{self.server.admin}{self.path}") as answer:
                kind, body = answer.headers["content-type"], answer.read()
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
            return
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(body + (SLOW if self.path == "/" else b""))


@contextlib.contextmanager
def proxied(admin):
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    proxy.admin, proxy.requested, proxy.answers = admin, set(), float("inf")
    proxy.seconds = SECONDS
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield proxy, f"http://127.0.0.1:{proxy.server_address[1]}/"
    proxy.shutdown()


def browse(chromium, url, width, *flags):
    with tempfile.TemporaryDirectory(prefix="towline-live-") as profile:
        run = subprocess.run(
            [
                chromium,
                "--headless=new",
                # Chromium's sandbox does not work for root in a container. The page is our own.
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{2430 if width == PHONE else 1500}",
                f"--timeout={2 * LONG * 1000}",
                *flags,
                url,
            ],
            capture_output=True,
            text=True,
            timeout=2 * LONG,
        )
    if run.returncode:
        raise SystemExit(f"{chromium} failed:\n{run.stderr[-2000:]}")
    return run.stdout


def shown(page, what):
    """The words of an element, without tags."""
    inside = re.search(rf'id="{what}"[^>]*>(.*?)</(?:div|ul|span|table|pre)>', page, flags=re.S)
    if not inside:
        raise SystemExit(f"the page has no {what}")
    return html.unescape(re.sub(r"<[^>]+>", " ", inside[1])).split()


def number(page, what):
    text = shown(page, what)
    try:
        return float(text[0].replace(",", ""))
    except (IndexError, ValueError):
        raise SystemExit(f"{what} shows {text}") from None
