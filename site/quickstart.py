"""Runs the commands of docs/QUICKSTART.md in a network of their own, and compares what they print.

    quickstart.py DOCUMENT TOWLINE

A line that begins with `$ ` is a command, which must succeed; lines below it are what it prints, if there
are any. Sections that need root on a real host have `# ` instead, and are left out.
"""

import os
import re
import subprocess
import sys
from pathlib import Path


def commands(document: str) -> list[tuple[str, str]]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", document, flags=re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif found and not line.startswith("# "):
                found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def main() -> int:
    document, towline = Path(sys.argv[1]).read_text(), Path(sys.argv[2]).resolve()
    path = f"{towline.parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": "/nonexistent", "COLUMNS": "80"}
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    command = [str(towline), "serve"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    problems, printed = [], ""
    try:
        if not server.stdout.readline().startswith("listening on 127.0.0.1:9000"):
            return "quickstart: the server did not start"
        for text, expected in commands(document):
            # What is left in the background keeps none of these pipes.
            quiet = text.replace(" &", " >/dev/null 2>&1 &") if text.endswith(" &") else text
            run = subprocess.run(["bash", "-o", "pipefail", "-c", quiet], capture_output=True, text=True, env=environment, timeout=60)
            printed += run.stdout
            if run.returncode:
                problems.append(f"{text}: exit code {run.returncode}: {run.stdout}{run.stderr}")
            elif expected and run.stdout.rstrip("\n") != expected.rstrip("\n"):
                problems.append(f"{text}: printed {run.stdout!r}, the document says {expected!r}")
    finally:
        server.kill()
    found = printed.count('"write_wait_cause":"peer"')
    if found != 3:
        problems.append(f"the list of connections that wait has {found} with the cause peer, the document says 3")
    for problem in problems:
        print(f"quickstart: {problem}", file=sys.stderr)
    if not problems:
        print(f"quickstart: {len(commands(document))} commands do what the document says")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
