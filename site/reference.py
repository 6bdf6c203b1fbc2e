"""The pages of the reference, from what the program prints."""

import json
import re
import subprocess
from pathlib import Path


def pages(towline: str, root: Path) -> dict[str, str]:
    """The text of each page, by its file name."""
    helps = commands(towline)
    return {
        "settings.md": settings((root / "config/towline.toml").read_text()),
        "commands.md": commands_page(helps),
        "exit-codes.md": exit_codes(helps),
        "reports.md": reports(root / "docs/schemas"),
    }


def printed(towline: str, *arguments: str) -> str:
    run = subprocess.run(
        [towline, *arguments], check=True, capture_output=True, text=True, env={"COLUMNS": "100"}
    )
    return run.stdout


def commands(towline: str) -> dict[str, str]:
    """The help of each command, by its name, as far down as there are commands."""
    found, left = {}, [()]
    while left:
        words = left.pop(0)
        text = printed(towline, *words, "--help")
        found[" ".join(("towline", *words))] = text
        listed = re.search(r"^Commands:\n((?:  .*\n|\n(?=  ))+)", text, flags=re.M)
        for line in listed[1].splitlines() if listed else ():
            name = re.match(r"  (\S+)", line)
            if name and name[1] != "help":
                left.append((*words, name[1]))
    return found


def commands_page(helps: dict[str, str]) -> str:
    parts = ["# Commands\n\nWhat `towline help COMMAND` prints; the manual pages have the same."]
    parts += [f"## {name}\n\n```text\n{text.rstrip()}\n```" for name, text in helps.items()]
    return "\n\n".join(parts) + "\n"


def exit_codes(helps: dict[str, str]) -> str:
    """The exit codes of each command whose help lists them."""
    parts = ["# Exit codes\n\nOf each command that has its own; the others end with those of `towline`."]
    for name, text in helps.items():
        listed = re.search(r"Exit codes:\n((?:  \d  .*\n(?:     .*\n)*)+)", text + "\n")
        rows = re.findall(r"^  (\d)  (.*)$", listed[1], flags=re.M) if listed else []
        if not listed:
            flat = re.search(r"Exit codes: (.*)", " ".join(text.split()))
            rows = re.findall(r"(\d) ([^;]+?)(?:;|\.?$)", flat[1]) if flat else []
        if rows:
            lines = [f"| {code} | {meaning.rstrip('.')} |" for code, meaning in rows]
            parts.append("\n".join([f"## {name}\n", "| code | meaning |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def settings(reference: str) -> str:
    """The table of keys, from the configuration file that the program generates."""
    head, *sections = re.split(r"\n(# .*)\n\[(\w+)\]\n", reference)
    about = "\n".join(line.removeprefix("#").strip() for line in head.splitlines()[1:])
    parts = ["# Settings", about.replace("This file is generated", "The file `config/towline.toml` is generated")]
    for sentence, name, body in zip(sections[::3], sections[1::3], sections[2::3]):
        parts.append(f"## {name}\n\n{sentence.removeprefix('# ')}")
        for block in body.strip().split("\n\n"):
            *comment, line = block.splitlines()
            key, value = line.split(" = ", 1)
            text = " ".join(words.removeprefix("#").strip() for words in comment)
            parts.append(f"### {name}.{key}\n\nDefault: `{value}`. {text}")
    return "\n\n".join(parts) + "\n"


def reports(folder: Path) -> str:
    parts = ["# Reports in JSON\n\nThe objects that the program prints for other programs. "
             "[Versions](../docs/VERSIONING.md) says what may change in them."]
    for file in sorted(folder.glob("*.json")):
        schema = json.loads(file.read_text())
        parts.append(f"## {schema['title']}\n\n{schema['description']} Schema: [{file.name}](../docs/schemas/{file.name}).")
        parts.append(fields(schema))
        for name, part in schema.get("$defs", {}).items():
            parts.append(f"### {schema['title']}: {name}\n\n{part.get('description', '')}\n\n{fields(part)}")
    return "\n\n".join(parts) + "\n"


def fields(schema: dict) -> str:
    required = schema.get("required", [])
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        optional = "" if name in required else ", may be absent"
        meaning = field["description"].replace("|", "\\|")
        rows.append(f"| `{name}` | {kind(field)}{optional} | {meaning} |")
    return "\n".join(rows)


def kind(field: dict) -> str:
    """The type of a field in words."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(kind(one) for one in field["anyOf"])
    if "enum" in field:
        return " or ".join("null" if it is None else f"`{it}`" for it in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    if types == ["array"]:
        return f"list of {kind(field['items'])}"
    if types == ["object"]:
        return f"object of {kind(field['additionalProperties'])}"
    return " or ".join(types)
