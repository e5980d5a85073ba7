#!/usr/bin/env python3
"""Runs every test of Node.js: of this package, of examples/node, and of what docs/node.md shows. Standard library only.

    test.py            builds the native part with `cargo build -p ck-node`, and everything else
    test.py --workspace    builds it with what `cargo test --workspace` has built before: nothing is built twice
    test.py WORD...    only the tests whose files have one of the words in their names

Prints what fails, and last `N passed, N failed`. What cannot be had, Node.js or npm, is SKIPPED and said; where STRICT is set,
that is a failure.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OLDEST_NODE = 20
# What scripts/build.mjs writes and the repository has.
GENERATED = ["ts/optionTypes.ts", "esm", "types"]
# Tests of how long something takes have the machine for themselves.
ALONE = ["loop"]


class Tally:
    """What passed, and what failed."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def add(self, name: str, succeeded: bool) -> None:
        if succeeded:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}", flush=True)


def missing() -> str | None:
    """What of the tools is not there, in words; None when all is."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    found = re.match(r"v(\d+)", version)
    if found is None or int(found.group(1)) < OLDEST_NODE:
        return f"Node.js {version or '?'} is older than {OLDEST_NODE}"
    return None


def run(command: list[str], **environment: str) -> None:
    """Runs what the tests need; without it there is nothing to test."""
    print(f"-- {' '.join(command)}", flush=True)
    if subprocess.run(command, cwd=HERE, env=os.environ | environment, stdin=subprocess.DEVNULL).returncode != 0:
        print("FAILED " + " ".join(command))
        print("0 passed, 1 failed")
        sys.exit(1)


def install() -> bool:
    """npm ci, where what is installed is not what the lock file says. False where it cannot be had."""
    installed = HERE / "node_modules/.package-lock.json"
    lock = HERE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return True
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    print(f"-- {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=HERE, stdin=subprocess.DEVNULL).returncode == 0


def contents() -> dict[str, bytes]:
    """The generated files, by name."""
    files = {}
    for name in GENERATED:
        place = HERE / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file():
                files[str(path.relative_to(HERE))] = path.read_bytes()
    return files


def build(tally: Tally, workspace: bool) -> None:
    """Builds all, and compares what is generated with what is committed."""
    run(["node", "scripts/native.mjs"], CLUSTERKIT_PROFILE="dev", CLUSTERKIT_WORKSPACE="1" if workspace else "")
    before = contents()
    run(["node", "scripts/build.mjs"])
    after = contents()
    differing = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    for name in differing:
        print(f"{name} is not what scripts/build.mjs writes: it does now, to be committed")
    tally.add("what is generated is what is committed", not differing)


def node_test(tally: Tally, files: list[pathlib.Path], concurrency: int) -> None:
    """Runs test files, counts them, and shows those that fail."""
    if not files:
        return
    command = ["node", "--test", "--test-reporter=tap", f"--test-concurrency={concurrency}", *map(str, files)]
    print(f"-- node --test {' '.join(path.stem.removesuffix('.test') for path in files)}", flush=True)
    process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    block: list[str] = []
    failed = counted = 0
    for line in process.stdout:
        block.append(line)
        result = re.match(r"(not )?ok \d+ - (.*)", line)
        if result:
            # What was printed before it belongs to it; the details follow, up to the dots.
            name, succeeded = result.group(2).strip(), result.group(1) is None
            if "# SKIP" in name or "# TODO" in name:
                succeeded = False
            counted += 1
            failed += not succeeded
            for rest in process.stdout:
                block.append(rest)
                if rest.rstrip() == "  ...":
                    break
            if not succeeded:
                print("".join(block), end="", flush=True)
            tally.add(name, succeeded)
            block = []
    if process.wait() != 0 and failed == 0:
        print("".join(block), end="")
        tally.add(f"node --test ended with {process.returncode}", False)
    elif counted == 0:
        tally.add("there is no test", False)


def link_examples() -> None:
    """What `npm install` in examples/node makes: the package is that of the repository."""
    modules = ROOT / "examples/node/node_modules"
    modules.mkdir(exist_ok=True)
    link = modules / "clusterkit"
    if link.is_symlink() or link.exists():
        link.unlink() if link.is_symlink() else shutil.rmtree(link)
    link.symlink_to("../../../bindings/node")


def main(words: list[str]) -> int:
    what = missing() or (None if install() else "npm cannot fetch the compiler of TypeScript")
    if what is not None:
        print(f"SKIPPED: the tests of Node.js: {what}")
        return 1 if os.environ.get("STRICT") else 0
    tally = Tally()
    build(tally, "--workspace" in words)
    words = [word for word in words if word != "--workspace"]
    link_examples()
    files = sorted([*(HERE / "test").glob("*.test.mjs"), *(ROOT / "examples/node").rglob("*.test.mjs")])
    files = [path for path in files if "node_modules" not in path.parts]
    chosen = [path for path in files if not words or any(word in path.name for word in words)]
    alone = [path for path in chosen if path.name.removesuffix(".test.mjs") in ALONE]
    node_test(tally, [path for path in chosen if path not in alone], os.cpu_count() or 1)
    node_test(tally, alone, 1)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
