#!/usr/bin/env python3
"""Runs every test of the project, in every language, and counts them. Standard library only.

    run.py            all runners, one after the other; a failure does not keep the next from running
    run.py NAME...    those only

The last line is `N passed, N failed`: what the runners themselves counted, not how many runners there were. A
runner that ends with an error without having counted a failed test, such as one that does not compile, counts as one.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# cargo's `test result: ok. 12 passed; 0 failed; 1 ignored; ...`, once for each program of tests.
CARGO = re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed; (?P<ignored>\d+) ignored")
# What a runner says of a test that failed: told again at the end, where a long log is read first.
FAILURE = re.compile(r"^(test .* \.\.\. FAILED|FAILED .*|MISSED .*)$")
# What a runner says of what cannot be run on this machine. With STRICT set it fails as well.
SKIPPED = re.compile(r"^SKIPPED: ")
# What our own scripts end with.
PLAIN = re.compile(r"^(?P<passed>\d+) passed, (?P<failed>\d+) failed$")


@dataclasses.dataclass
class Runner:
    """One command that runs tests, and how to read off its output how many."""

    name: str
    what: str
    command: list[str]
    counts: re.Pattern | None = None
    """None: the command is one test, which passes when it exits with 0."""


RUNNERS = [
    Runner("house", "the rules of the house", [sys.executable, "tests/house.py"], PLAIN),
    Runner("parity", "every call has its name in every language", [sys.executable, "tests/parity/check.py"], PLAIN),
    Runner("vectors", "tests/vectors is what Python's MD5 says",
           [sys.executable, "tests/vectors/make.py", "--check"]),
    Runner("deploy", "examples/deploy agrees with itself and with the documents, and each rule finds what it is for",
           [sys.executable, "tests/deploy/check.py"], PLAIN),
    Runner("rust", "every crate but the core, with examples, documentation and the C ABI",
           ["cargo", "test", "--workspace", "--exclude", "clusterkit", "--locked", "--no-fail-fast"], CARGO),
    # After it: it takes the library that these have built.
    Runner("go", "the Go binding and its examples, with the race detector, and with collections forced",
           [sys.executable, "bindings/go/test.py", "--workspace"], PLAIN),
    Runner("python", "the Python binding, its types, its examples, and what a process may do with it",
           [sys.executable, "bindings/python/test.py", "--workspace"], PLAIN),
    # After it as well: most of what its native part is built from is there.
    Runner("node", "the npm package and its examples", [sys.executable, "bindings/node/test.py", "--workspace"], PLAIN),
    Runner("mixed", "a cluster with one member in each language: it forms, loses and regains each",
           [sys.executable, "examples/mixed/run.py", "--workspace"], PLAIN),
    Runner("kv", "the key-value servers: nodes die, stop, join and leave, and every key is linearizable",
           [sys.executable, "tests/kv/check.py", "--workspace"], PLAIN),
    # Its tests without the simulator are part of these, so they are built and run once.
    Runner("core", "the core, on tokio, in its simulator and in test clusters",
           ["cargo", "test", "-p", "clusterkit", "--features", "sim,testing", "--lib", "--tests", "--locked", "--no-fail-fast"],
           CARGO),
    # With the same features, so nothing is built again.
    Runner("docs", "the examples in the core's documentation",
           ["cargo", "test", "-p", "clusterkit", "--features", "sim,testing", "--doc", "--locked"], CARGO),
    # The same profile and features as make sim, so the library is built once for all three.
    Runner("scenarios", "scenarios of whole nodes in simulated time, and the simulation's own tests: a seed is one history",
           ["cargo", "test", "--profile", "sim", "-p", "ck-simulation", "--features", "planted-bugs", "--locked",
            "--no-fail-fast"], CARGO),
    # Bounded by time: a slow machine runs fewer seeds, and the whole of the tests stays within its limit.
    Runner("simulation", "whole clusters in simulated time, one test for each seed",
           ["make", "--silent", "sim", "SEEDS=2900", "SIM_SECONDS=150"], PLAIN),
    Runner("planted", "every fault that is planted is found by the simulation", ["make", "--silent", "planted"], PLAIN),
]


@dataclasses.dataclass
class Outcome:
    """What a runner counted."""

    passed: int = 0
    failed: int = 0
    ignored: int = 0
    seconds: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)


def run(runner: Runner) -> Outcome:
    """Runs it, shows its output as it comes, and counts."""
    print(f"\n== {runner.name}: {' '.join(runner.command)}", flush=True)
    outcome = Outcome()
    began = time.monotonic()
    # Colour codes would stand between the beginning of the line and what is looked for there.
    # What helps to build the same crate again takes a third of the disk, which a machine that runs all of this may not have.
    environment = {"CARGO_INCREMENTAL": "0"} | os.environ | {"CARGO_TERM_COLOR": "never"}
    try:
        process = subprocess.Popen(
            runner.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as error:
        print(f"cannot run {runner.command[0]}: {error}", flush=True)
        outcome.failed = 1
        return outcome
    with process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if FAILURE.match(line):
                outcome.failures.append(line.rstrip()[:400])
            if SKIPPED.match(line):
                outcome.skipped.append(line.rstrip()[:400])
            match = runner.counts.match(line) if runner.counts else None
            if match:
                found = match.groupdict()
                outcome.passed += int(found["passed"])
                outcome.failed += int(found["failed"])
                outcome.ignored += int(found.get("ignored") or 0)
    outcome.seconds = time.monotonic() - began
    if process.returncode != 0 and outcome.failed == 0:
        outcome.failed = 1
    elif process.returncode == 0 and runner.counts is None:
        outcome.passed = 1
    elif process.returncode == 0 and outcome.passed == 0 and not outcome.skipped:
        print(f"{runner.name} counted no test at all", flush=True)
        outcome.failed = 1
    return outcome


def main(names: list[str]) -> int:
    known = [runner.name for runner in RUNNERS]
    if unknown := [name for name in names if name not in known]:
        print(f"there is no runner {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    outcomes = [(runner, run(runner)) for runner in RUNNERS if not names or runner.name in names]
    print(f"\n{'':10}{'passed':>8}{'failed':>8}{'ignored':>9}{'seconds':>9}")
    for runner, outcome in outcomes:
        print(f"{runner.name:10}{outcome.passed:8}{outcome.failed:8}{outcome.ignored:9}{outcome.seconds:9.0f}"
              f"  {runner.what}")
    passed = sum(outcome.passed for _, outcome in outcomes)
    failed = sum(outcome.failed for _, outcome in outcomes)
    for runner, outcome in outcomes:
        for line in outcome.failures + outcome.skipped:
            print(f"{runner.name}: {line}")
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
