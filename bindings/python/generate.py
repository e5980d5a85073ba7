#!/usr/bin/env python3
"""Writes python/clusterkit/_options.py from the core's tables of options: generate.py [--check]. Needs the built package."""

import importlib.util
import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent
TARGET = ROOT / "python/clusterkit/_options.py"

# The native half alone: what is written here may be missing from the rest.
_found = importlib.util.spec_from_file_location("_clusterkit", ROOT / "python/clusterkit/_clusterkit.abi3.so")
_clusterkit = importlib.util.module_from_spec(_found)
_found.loader.exec_module(_clusterkit)

TYPES = {
    "boolean": "bool",
    "integer": "int",
    "duration": "Time | str",
    "list": "str | Sequence[str]",
    "map": "str | Mapping[str, str]",
    "text": "str",
    "address": "str",
}

HEAD = '''"""The options as keywords. Generated from the core's tables by generate.py: a test compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Literal, TypedDict

from ._values import Time

'''


def type_of(row):
    if row["name"] == "data_dir":
        return "str | PathLike[str]"
    if row["type"] == "choice":
        return "Literal[" + ", ".join(f'"{choice}"' for choice in row["bounds"].split(", ")) + "]"
    return TYPES[row["type"]]


def facts(row):
    words = [row["help"]]
    words.append(f"Bounds: {row['bounds']}." if not row["bounds"].endswith(".") else f"Bounds: {row['bounds']}")
    if row["default"] is not None:
        words.append(f"Default: {row['default']}.")
    return " ".join(words)


def keyword(name):
    return name.replace(".", "_")


def typed_dict(name, doc, rows):
    lines = [f"class {name}(TypedDict, total=False):", f'    """{doc}"""', ""]
    for row in rows:
        lines.append(f"    {keyword(row['name'])}: {type_of(row)} | None")
        text = facts(row).replace("\\", "\\\\").replace('"', "'")
        wrapped = textwrap.wrap(text, 112)
        if len(wrapped) == 1:
            lines.append(f'    """{wrapped[0]}"""')
        else:
            lines.append(f'    """{wrapped[0]}')
            lines += [f"    {line}" for line in wrapped[1:]]
            lines.append('    """')
    return "\n".join(lines) + "\n"


def keywords(name, rows):
    lines = [f"{name}: dict[str, tuple[str, bool]] = {{"]
    for row in rows:
        lines.append(f'    "{keyword(row["name"])}": ("{row["name"]}", {row["type"] == "duration"}),')
    return "\n".join([*lines, "}"]) + "\n"


def source():
    node, client = _clusterkit.option_table(), _clusterkit.client_option_table()
    parts = [
        typed_dict(
            "Options",
            "The options of a node, as keywords of `ClusterKit`; `node_id` and `http_addr` are its first two arguments.",
            [row for row in node if row["name"] not in ("node_id", "http_addr")],
        ),
        typed_dict(
            "ClientOptions",
            "The options of a client, as keywords of `Client`; `addrs` is its first argument.",
            [row for row in client if row["name"] != "addrs"],
        ),
        keywords("_NODE_OPTIONS", node),
        keywords("_CLIENT_OPTIONS", client),
    ]
    return HEAD + "\n" + "\n\n".join(parts[:2]) + "\n\n" + "\n".join(parts[2:])


def main():
    text = source()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            sys.exit(f"{TARGET.name} is not what generate.py writes")
    else:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
