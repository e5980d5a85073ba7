#!/usr/bin/env python3
"""Checks the key-value servers of examples/kv: nodes die, stop, join and leave under load, and no answer is wrong.

    check.py [--seed 1] [--seconds 60] [--modes sync,async] [--store memory|sqlite] [--languages rust,go,...|all]
    check.py --checker     the checker's own tests only
    check.py --workspace   takes what the tests of the workspace have built: nothing is built twice in `make test`

Without --seconds: a minute in sync mode, whose history has to be linearizable for each key; and a third of that in async mode,
which may lose what was acknowledged shortly before a node died. Of a failure the seed, the calls around it, and the folder
with the whole history and the logs of the servers are shown. The last line is `N passed, N failed`.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "examples/kv"))

import cases  # noqa: E402
from run import programs  # noqa: E402
from servers import Failed, Program, Settings, end_by_signals  # noqa: E402
from trouble import trouble  # noqa: E402

PARTITIONS = 16


class Tally:
    """What has passed and what has not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def add(self, name: str, failure: str = "") -> None:
        self.passed += not failure
        self.failed += bool(failure)
        print(f"FAILED  {name}: {failure}" if failure else f"ok      {name}", flush=True)


def checker(tally: Tally) -> None:
    """Does it find what is wrong, and nothing else?"""
    for case in cases.CASES:
        try:
            case()
            tally.add(case.__name__.replace("_", " "))
        except AssertionError as failure:
            traceback.print_exc()
            tally.add(case.__name__.replace("_", " "), str(failure) or "see above")


def cluster(tally: Tally, servers: dict[str, Program], settings: Settings, seed: int, seconds: float) -> None:
    name = f"{settings.mode}, {settings.store}, {'+'.join(servers)}, seed {seed}"
    print(f"--      {name}: {seconds:.0f} s", flush=True)
    try:
        report = trouble(servers, settings, seed, seconds)
    except Failed as failure:
        tally.add(name, str(failure))
        return
    faults = ", ".join(f"{count} {fault.replace('_', ' ')}" for fault, count in report.faults.items())
    promise = "linearizable" if settings.mode != "async" else (
        f"{report.excused} acknowledged writes lost"
        + (f", the oldest {1000 * report.oldest:.0f} ms before a node was killed or stopped" if report.excused else ""))
    tally.add(f"{name}: {report.calls} calls, {report.unknown} of them unknown; {faults}: {promise}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Is the key-value store what it says that it is?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, help="instead: one seed after the other, a minute each, modes and stores in turn")
    parser.add_argument("--modes", default="sync,async")
    parser.add_argument("--store", choices=("memory", "sqlite"), default="memory")
    parser.add_argument("--languages", default="rust")
    parser.add_argument("--timing", choices=("lan", "fast"), default="lan")
    parser.add_argument("--profile", choices=("release", "debug"), default="debug")
    parser.add_argument("--checker", action="store_true")
    parser.add_argument("--workspace", action="store_true", help="take what the tests of the workspace have built")
    arguments = parser.parse_args()
    end_by_signals()
    tally = Tally()
    try:
        if not arguments.minutes:
            checker(tally)
        if not arguments.checker:
            servers = programs(arguments.languages, arguments.profile, arguments.workspace)
            modes = arguments.modes.split(",")
            if arguments.minutes:
                end, seed = time.monotonic() + 60 * arguments.minutes, arguments.seed
                while time.monotonic() < end:
                    settings = Settings(modes[seed % len(modes)], ("memory", "sqlite")[seed // len(modes) % 2], PARTITIONS,
                                        timing=arguments.timing)
                    cluster(tally, servers, settings, seed, min(60.0, end - time.monotonic()))
                    seed += 1
            for mode in modes if not arguments.minutes else []:
                settings = Settings(mode, arguments.store, PARTITIONS, timing=arguments.timing)
                cluster(tally, servers, settings, arguments.seed, arguments.seconds / (3 if mode == "async" else 1))
    except Failed as failure:
        tally.add("the servers", str(failure))
    except KeyboardInterrupt as interrupt:
        print(f"ended by {interrupt or 'SIGINT'}")
        tally.failed += 1
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
