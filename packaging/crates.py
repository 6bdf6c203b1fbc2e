"""The crates that the program is built from, as Cargo knows them."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "towline-cli"


class Crates:
    """The crates of the program, by the ids of `cargo metadata`."""

    def __init__(self, target: str):
        command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        metadata = json.loads(told)
        self.packages = {package["id"]: package for package in metadata["packages"]}
        self.nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        self.program = next(i for i, package in self.packages.items() if package["name"] == PROGRAM)
        self.all = self.listed(target, "normal,build")
        self.at_run_time = self.listed(target, "normal,no-proc-macro")
        self.order = sorted(self.all, key=lambda i: (self.packages[i]["name"], self.packages[i]["version"]))

    def listed(self, target: str, edges: str) -> set[str]:
        """What the program alone needs: `cargo metadata` joins the features of all crates here."""
        command = ["cargo", "tree", "--locked", "-p", PROGRAM, "--target", target, "-e", edges]
        command += ["--prefix", "none", "--no-dedupe", "-f", "{p}"]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        named = {tuple(line.split()[:2]) for line in told.splitlines() if line}
        packages = self.packages.items()
        return {one for one, package in packages if (package["name"], "v" + package["version"]) in named}

    def needs(self, one: str) -> list[str]:
        """The crates that a crate needs, or that its build needs."""
        edges = self.nodes[one]["deps"]
        used = (edge for edge in edges if any(kind["kind"] in (None, "build") for kind in edge["dep_kinds"]))
        return [edge["pkg"] for edge in used if edge["pkg"] in self.all]
