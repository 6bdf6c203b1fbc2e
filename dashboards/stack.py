"""Runs towline, Prometheus and node_exporter on loopback.

Uses free ports and one scratch directory, and stops its processes by their ids.
"""

import contextlib
import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import queries

# WINDOW is what Grafana would insert for $__rate_interval, which is at least four scrapes.
SCRAPE = 1
WINDOW = "10s"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, ready, patience=15.0):
    end = time.monotonic() + patience
    while not (found := ready()):
        if time.monotonic() > end:
            raise SystemExit(f"waited {patience:.0f} s for {what}")
        time.sleep(0.1)
    return found


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def answers(url):
    try:
        get(url)
    except OSError:
        return False
    return True


class Scraped:
    """A program with an admin port."""

    def metrics(self):
        return get(f"http://{self.admin}/metrics")


class Server(Scraped):
    """A towline server on free ports."""

    def __init__(self, binary, log, workload, *flags):
        plain = "127.0.0.1:0,tls=off" if "--tls-cert" in flags else "127.0.0.1:0"
        ports = ["--listen", plain, "--admin", "127.0.0.1:0"]
        # Not the environment of this process: its TOWLINE_ variables would change this server.
        self.process = subprocess.Popen(
            [binary, "serve", *ports, "--workload", workload, *flags],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={"TOWLINE_SOCKET__USER_TIMEOUT": "off"},
        )
        announced = self.process.stdout.readline()
        found = re.fullmatch(r"listening on ([\d.]+):(\d+)(?:, [\d.]+:(\d+))? \(admin ([\d.:]+)\)\n", announced)
        if not found:
            raise SystemExit(f"{binary} did not announce its ports: {announced!r}")
        self.address = (found[1], int(found[2]))
        # Of the listener with TLS, if there is one.
        self.tls_port = found[3] and int(found[3])
        self.admin = found[4]


class Example(Scraped):
    """An example of the library on free ports. Its arguments are its address and that of its admin port."""

    def __init__(self, binary, log):
        port = free_port()
        self.address = ("127.0.0.1", port)
        self.admin = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen([binary, f"127.0.0.1:{port}", self.admin], stderr=log)


def ctl(towline, server, *words):
    """Whether a command to a running server succeeded, and what it printed."""
    command = [towline, "ctl", "--socket", server.socket, *words]
    run = subprocess.run(command, capture_output=True, text=True)
    return run.returncode == 0, f"towline ctl: {run.stdout}{run.stderr}"


class Prometheus:
    def __init__(self, url):
        self.url = url

    def ask(self, path, **parameters):
        """The data of a response. An error of Prometheus is raised as ValueError."""
        query = urllib.parse.urlencode(parameters)
        try:
            answer = json.loads(get(f"{self.url}/api/v1/{path}?{query}"))
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from None
        return answer["data"]

    def query(self, expression, at=None):
        when = {"time": at} if at else {}
        return self.ask("query", query=expression, **when)["result"]

    def range(self, expression, begin, end):
        return self.ask("query_range", query=expression, start=begin, end=end, step=SCRAPE)["result"]


def filled_in(expression, instance=".+"):
    """A panel's query as Grafana would send it, with all instances or one selected."""
    expression = expression.replace("$__rate_interval", WINDOW).replace("$__range", WINDOW)
    # This Prometheus has run for seconds.
    expression = expression.replace("offset 1w", "offset 5s")
    expression = expression.replace("$instance", instance)
    return re.sub(r"\$\w+", ".+", expression)


def configuration(folder, targets, node):
    jobs = [
        {"job_name": "towline", "static_configs": [{"targets": targets}]},
        {"job_name": "node", "static_configs": [{"targets": [node]}]},
    ]
    settings = {
        "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
        "rule_files": [str(queries.RULES)],
        "scrape_configs": jobs,
    }
    path = Path(folder) / "prometheus.yml"
    # JSON is YAML.
    path.write_text(json.dumps(settings))
    return path


@contextlib.contextmanager
def running(
    towline, prometheus, node_exporter, flags=None, scraped=lambda servers: [s.admin for s in servers], pubsub=None
):
    """Runs three servers (echo, SHA-256, and one for clients that never read) and a Prometheus that
    scrapes them. Yields the servers and the Prometheus.

    With `pubsub`, the path of the example of that name, it is the fourth server. `flags` are more flags of servers, by name; `scraped` returns the addresses to scrape."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="towline-dashboards-"))

        def owned(process):
            stack.callback(stop, process)
            return process

        def log(name):
            return stack.enter_context(open(Path(folder) / f"{name}.log", "w"))

        patient = ("--write-timeout", "off", "--line-deadline", "off")
        servers = []
        for name, workload in (("echo", "echo"), ("sha256", "sha256"), ("stalled", "echo")):
            socket_path = f"{folder}/{name}.sock"
            more = (flags or {}).get(name, ())
            server = Server(towline, log(name), workload, *patient, "--admin-socket", socket_path, *more)
            server.socket = socket_path
            owned(server.process)
            servers.append(server)
        if pubsub:
            example = Example(pubsub, log("pubsub"))
            owned(example.process)
            wait("the example", lambda: answers(f"http://{example.admin}/readyz"))
            servers.append(example)
        node = f"127.0.0.1:{free_port()}"
        owned(subprocess.Popen([node_exporter, f"--web.listen-address={node}"], stderr=log("node")))
        address = f"127.0.0.1:{free_port()}"
        owned(
            subprocess.Popen(
                [
                    prometheus,
                    f"--config.file={configuration(folder, scraped(servers), node)}",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address={address}",
                    # render.py queries it from a page of another origin.
                    "--web.cors.origin=.*",
                    "--log.level=warn",
                ],
                stderr=log("prometheus"),
            )
        )
        url = f"http://{address}"
        wait("Prometheus", lambda: answers(f"{url}/-/ready"))
        found = Prometheus(url)
        wait("all targets", lambda: len(found.query("up == 1")) == len(servers) + 1)
        yield servers, found


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
