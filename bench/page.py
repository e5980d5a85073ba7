#!/usr/bin/env python3
"""Puts what ck-bench measured into docs/benchmarks.md, between the marks. Standard library only.

    page.py RESULTS.json
"""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def processor() -> str:
    """The processor's name, as Linux tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def said(*command: str) -> str:
    """The first line that a command prints; empty where it cannot be run."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return (done.stdout.splitlines() or [""])[0]


def number(value: float) -> str:
    """Three digits that count, and the thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def aim(row: dict) -> str:
    """What a row should be, and whether it is."""
    bound = row.get("aim") or {}
    if "at_least" in bound:
        met, text = row["value"] >= bound["at_least"], f"≥ {number(bound['at_least'])}"
    elif "at_most" in bound:
        met, text = row["value"] <= bound["at_most"], f"≤ {number(bound['at_most'])}"
    else:
        return ""
    return text if met else f"{text}, **missed**"


def block(results: list[dict]) -> str:
    where = f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    what = f"revision {said('git', 'rev-parse', '--short', 'HEAD') or 'unknown'}, {said('rustc', '--version')}"
    lines = [
        f"Measured {datetime.date.today().isoformat()} on {where}; {what}.", "",
        "| what | measured | aim | |", "|---|---|---|---|",
    ]
    for row in results:
        cells = [row["name"], f"{number(row['value'])} {row['unit']}".strip(), aim(row), row.get("note", "")]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    results = json.loads(pathlib.Path(arguments[0]).read_text(encoding="utf-8"))["results"]
    page = PAGE.read_text(encoding="utf-8")
    before, found, rest = page.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        print(f"{PAGE} has no place for the results", file=sys.stderr)
        return 1
    PAGE.write_text(before + BEGIN + block(results) + END + after, encoding="utf-8")
    print(f"written into {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
