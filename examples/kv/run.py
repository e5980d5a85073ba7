#!/usr/bin/env python3
"""Ten key-value servers form a cluster, share keys, gain and lose a node, and are restarted one by one under load.

    run.py [--mode sync|async|server-side] [--store memory|sqlite] [--languages rust,go,...|all] [--profile release|debug]

Each step is checked, and shown with the time that it took. The last line says how many acknowledged writes were lost; the exit
code is 0 where that, and everything else, is as the README says. Needs nothing but Python's standard library, and stops what it
started in every case.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
sys.path.insert(0, str(ROOT / "tests/kv"))

from servers import Answer, Caller, Cluster, Failed, Map, Node, Program, Settings, cluster, end_by_signals, until  # noqa: E402

NODES = 10
KEYS = 1000
# What the README promises: for how long the writes of a dead node's keys fail; and how old a write may be that async mode loses,
# where the node did not say that its replicas are further behind.
OUTAGE = {"lan": 2.5, "fast": 0.8}
ASYNC_WINDOW = 1.0
WRITE_PAUSE = 0.02
RETRY_PAUSE = 0.05


# ---- How the server of each language is built and started. ----


@dataclasses.dataclass(frozen=True)
class Language:
    """One entry for each language. {root}, {here}, {target}, {profile} and {cargo_profile} stand for what they say."""

    needs: tuple[str, ...]
    build: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


LANGUAGES = {
    "rust": Language(
        needs=("cargo",),
        build=(("cargo", "build", "--locked", "--profile", "{cargo_profile}", "-p", "kv"),),
        command=("{target}/{profile}/kv",),
    ),
}


# What the tests of the workspace have built already: with the same features, so nothing is built twice.
WORKSPACE_BUILD = (("cargo", "test", "--workspace", "--exclude", "clusterkit", "--no-run", "--locked", "--quiet"),)


def programs(asked: str, profile: str, workspace: bool = False) -> dict[str, Program]:
    """Builds the servers, and says how each is started. One that cannot be had here is an error, unless `all` was asked for."""
    languages = list(LANGUAGES) if asked == "all" else asked.split(",")
    names = {"root": str(ROOT), "here": str(HERE), "target": str(TARGET), "profile": profile,
             "cargo_profile": "dev" if profile == "debug" else profile}
    found = {}
    for name in languages:
        if name not in LANGUAGES:
            raise Failed(f"there is no server in {name}; there are: {', '.join(LANGUAGES)}")
        language = LANGUAGES[name]
        if missing := [tool for tool in language.needs if not shutil.which(tool)]:
            if asked != "all":
                raise Failed(f"the server in {name} needs {', '.join(missing)}")
            print(f"SKIPPED: the server in {name}: it needs {', '.join(missing)}", flush=True)
            continue
        for step in WORKSPACE_BUILD if workspace and name == "rust" else language.build:
            command = [part.format(**names) for part in step]
            print(f"-- {' '.join(command)}", flush=True)
            if subprocess.run(command, cwd=ROOT).returncode:
                raise Failed(f"the server in {name} cannot be built")
        found[name] = Program([part.format(**names) for part in language.command],
                              {key: value.format(**names) for key, value in language.environment.items()})
    return found


# ---- What was written, and what has to be there. ----


@dataclasses.dataclass
class Entry:
    """A key that one thread writes. Its values are numbers, each higher than the one before."""

    tried: int = 0
    acknowledged: dict[int, float] = dataclasses.field(default_factory=dict)
    """The numbers that were acknowledged and are not known to be there, and when that was."""


class Book:
    """What the servers have promised to keep, and what they have lost of it."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.entries: dict[str, Entry] = {}
        self.writes = 0
        self.lost: list[str] = []
        self.killed: list[float] = []
        self.window = ASYNC_WINDOW
        # A key has one writer at a time, and may have several readers.
        self.lock = threading.Lock()

    def write(self, caller: Caller, address: str, key: str) -> Answer:
        entry = self.entries.setdefault(key, Entry())
        entry.tried += 1
        answer = caller.write(address, key, f"{key}#{entry.tried}")
        if answer.done:
            entry.acknowledged[entry.tried] = time.monotonic()
            with self.lock:
                self.writes += 1
        return answer

    def read(self, caller: Caller, address: str, key: str, at_rest: bool = True) -> Answer:
        """Reads a key that nobody writes meanwhile, and compares. In async mode what is read may be old while roles move."""
        entry = self.entries[key]
        answer = caller.read(address, key)
        if answer.status not in (200, 404):
            return answer
        value = answer.body["value"] if answer.done else f"{key}#0"
        name, _, number = value.rpartition("#")
        if name != key or not number.isdigit() or int(number) > entry.tried:
            raise Failed(f"{key} was never written as {value!r}")
        with self.lock:
            missing = [acknowledged for acknowledged in entry.acknowledged if acknowledged > int(number)]
            if missing and self.mode == "async" and not at_rest and self.age(entry.acknowledged[missing[-1]]) is None:
                return answer
            for lost in missing:
                self.lose(key, lost, entry.acknowledged.pop(lost), value)
            # What comes later is no older than what was seen.
            entry.acknowledged = {int(number): time.monotonic()} if answer.done else {}
        return answer

    def age(self, when: float) -> float | None:
        """How long before the death of a node that was; an acknowledgement may be read a little after it."""
        return min((killed - when for killed in self.killed if killed >= when - 0.5), default=None)

    def lose(self, key: str, number: int, when: float, instead: str) -> None:
        age = self.age(when)
        text = f"{key}#{number}: there is {instead} instead; acknowledged " + (
            "when no node had been killed since" if age is None else f"{1000 * age:.0f} ms before a node was killed")
        self.lost.append(text)
        if self.mode != "async" or age is None or age > self.window:
            raise Failed(f"an acknowledged write is lost: {text}")

    def verdict(self) -> str:
        window = f", each within {1000 * self.window:.0f} ms before a node was killed" if self.lost else ""
        return f"{len(self.lost)} acknowledged writes lost of {self.writes}{window}"


class Router:
    """Where a client sends its calls: to the primary of the key, as smart clients do, or to any node."""

    def __init__(self, store: Cluster, smart: bool) -> None:
        self.store = store
        self.smart = smart
        self.caller = Caller(3.0)
        self.known: Map | None = None
        self.turn = 0

    def address(self, key: str) -> str:
        nodes = self.store.running()
        self.turn += 1
        if self.smart:
            if self.known is None:
                answer = self.caller.get(nodes[self.turn % len(nodes)].http, "/cluster")
                self.known = Map(answer) if answer else None
            primary = self.known.partition(key)["primary_node"] if self.known else ""
            if primary in self.store.nodes:
                return self.store.nodes[primary].kv
        return nodes[self.turn % len(nodes)].kv

    def missed(self) -> None:
        """A call has failed: what was known may be old."""
        self.known = None


class Load:
    """Threads that write keys of their own over and over, and read what they wrote after each failure."""

    def __init__(self, store: Cluster, book: Book, smart: bool, shares: list[list[str]]) -> None:
        self.book = book
        self.ended = threading.Event()
        self.failures: list[Exception] = []
        self.first: dict[str, float] = {}
        """When a write of the key was acknowledged for the first time since `mark`."""
        self.longest = 0.0
        """The longest time without an acknowledged write in any thread."""
        self.refused: collections.Counter[str] = collections.Counter()
        """What was said instead."""
        self.threads = [threading.Thread(target=self.run, args=(Router(store, smart), keys), daemon=True) for keys in shares]
        for thread in self.threads:
            thread.start()

    def run(self, router: Router, keys: list[str]) -> None:
        try:
            last = time.monotonic()
            while not self.ended.is_set():
                for key in keys:
                    self.once(router, key)
                    now = time.monotonic()
                    self.longest = max(self.longest, now - last)
                    last = now
        except Exception as failure:  # It is told where the load ends.
            self.failures.append(failure)
            self.ended.set()

    def once(self, router: Router, key: str) -> None:
        """Writes a key until that is acknowledged."""
        deadline = time.monotonic() + 30
        caller = router.caller
        while not self.ended.wait(WRITE_PAUSE):
            answer = self.book.write(caller, router.address(key), key)
            if answer.done:
                self.first.setdefault(key, time.monotonic())
                return
            self.refused[f"write: {answer}"] += 1
            router.missed()
            while not self.ended.wait(RETRY_PAUSE) and self.read(router, key).status not in (200, 404):
                router.missed()
                if time.monotonic() > deadline:
                    raise Failed(f"{key} cannot be read for 30 s")
            if time.monotonic() > deadline:
                raise Failed(f"{key} cannot be written for 30 s")

    def read(self, router: Router, key: str) -> Answer:
        answer = self.book.read(router.caller, router.address(key), key, at_rest=False)
        if answer.status not in (200, 404):
            self.refused[f"read: {answer}"] += 1
        return answer

    def mark(self) -> None:
        self.first = {}

    def check(self) -> None:
        if self.failures:
            raise self.failures[0]

    def end(self) -> None:
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.check()


def patiently(call: Callable[[], Answer], patience: float = 5.0) -> Answer:
    """Repeats a call for as long as nobody owns its key: a role that has moved is taken up when its lease says so."""
    deadline = time.monotonic() + patience
    while (answer := call()).status == 503 and time.monotonic() < deadline:
        time.sleep(RETRY_PAUSE)
    return answer


def at_once(calls: list[Callable[[], None]]) -> None:
    """Does all of that at the same time; the first failure is raised when all have ended."""
    failures: list[Exception] = []
    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as failure:  # It is raised below.
            failures.append(failure)
    threads = [threading.Thread(target=guarded, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ---- The steps. ----


class Demo:
    """Ten servers and what happens to them. Each step says in one line what it has seen."""

    def __init__(self, store: Cluster, book: Book) -> None:
        self.store = store
        self.book = book
        self.smart = store.settings.mode != "server-side"
        self.keys = [f"user:{number}" for number in range(KEYS)]

    def forms(self) -> str:
        for node in [self.store.add() for _ in range(NODES)]:
            self.store.start(node)
        for node in self.store.running():
            self.store.member(node)
        seen = self.store.settle()
        spread = [seen.primaries(name) for name in self.store.nodes]
        return (f"{NODES} nodes form a cluster of {len(seen.partitions)} partitions, {self.store.settings.copies} copies of each; "
                f"each is primary of {min(spread)} to {max(spread)}")

    def writes(self) -> str:
        def write(keys: list[str]) -> None:
            router = Router(self.store, self.smart)
            for key in keys:
                answer = patiently(partial(self.book.write, router.caller, router.address(key), key))
                if not answer.done:
                    raise Failed(f"{key} cannot be written: {answer}")
        at_once([partial(write, self.keys[part::4]) for part in range(4)])
        return f"{KEYS} keys are written, {'to the primary of each' if self.smart else 'through all nodes in turn'}"

    def reads(self) -> str:
        """Every key through every node."""
        nodes = self.store.running()
        at_once([partial(self.read, node, list(self.book.entries)) for node in nodes])
        return f"{len(self.book.entries)} keys are read through each of {len(nodes)} nodes"

    def reads_each(self) -> str:
        """Every key through one node."""
        nodes, keys = self.store.running(), list(self.book.entries)
        at_once([partial(self.read, node, keys[at::len(nodes)]) for at, node in enumerate(nodes)])
        return f"{len(keys)} keys are read, through {len(nodes)} nodes in turn"

    def read(self, node: Node, keys: list[str]) -> None:
        caller = Caller()
        for key in keys:
            answer = patiently(partial(self.book.read, caller, node.kv, key))
            if not answer.done:
                raise Failed(f"{key} cannot be read through {node.name}: {answer}")

    def grows(self) -> str:
        node = self.store.add()
        self.store.start(node)
        self.store.member(node)
        share = self.store.settings.partitions * self.store.settings.copies // len(self.store.nodes)
        until(f"{node.name} takes its share", lambda: self.store.settle().copies(node.name) >= share // 2)
        seen = self.store.map()
        self.store.in_step()
        return (f"{node.name} joins, and holds {seen.copies(node.name)} copies (a fair share is {share}), "
                f"is primary of {seen.primaries(node.name)}; all copies are equal")

    def loses(self, leads: bool) -> Callable[[], str]:
        """A node is killed, and comes back."""
        def step() -> str:
            seen = self.store.map()
            others = [name for name in self.store.nodes if name != seen.leader]
            victim = self.store.nodes[seen.leader if leads else max(others, key=seen.primaries)]
            owned: dict[int, str] = {}
            for number in range(100 * len(seen.partitions)):
                partition = seen.partition(f"probe:{number}")
                if partition["primary_node"] == victim.name:
                    owned.setdefault(partition["number"], f"probe:{number}")
            load = Load(self.store, self.book, self.smart, [[key] for key in owned.values()])
            def all_written() -> bool:
                load.check()
                return len(load.first) == len(owned)
            try:
                until("the keys of the node are written", all_written)
                # So that there is something on its way.
                load.mark()
                until("the keys of the node are written again", all_written)
                self.book.window = max(self.book.window, ASYNC_WINDOW + self.store.behind(victim))
                killed = self.store.kill(victim)
                self.book.killed.append(killed)
                load.mark()
                until("the keys of the killed node are written", all_written)
                outages = [when - killed for when in load.first.values()]
            finally:
                load.end()
            stretch, late = self.store.lateness()
            bound = OUTAGE[self.store.settings.timing] * stretch + late
            text = (f"{victim.name}{', the leader,' if leads else ''} is killed: its {len(owned)} partitions take writes again "
                    f"after {min(outages):.2f} to {max(outages):.2f} s (median {statistics.median(outages):.2f})")
            if stretch > 1 or late > 0.1:
                text += f"; this machine is busy: timers are {late:.2f} s late, and timeouts are stretched {stretch} times"
            if max(outages) > bound:
                said = "".join(f"\n  {count} times: {answer}" for answer, count in load.refused.most_common(8))
                raise Failed(f"{text}; at most {bound:.2f} s were promised. Until then was said:{said}")
            self.down = victim
            return text
        return step

    def regains(self) -> str:
        self.store.start(self.down)
        self.store.member(self.down)
        self.store.settle()
        partitions, rows = self.store.in_step()
        return f"{self.down.name} is back and in step: all copies of {partitions} partitions are equal, {rows} rows"

    def rolls(self) -> str:
        """Every node is restarted while clients write."""
        load = Load(self.store, self.book, self.smart, [[f"load:{part}:{number}" for number in range(20)] for part in range(4)])
        took = []
        try:
            for node in list(self.store.nodes.values()):
                began = time.monotonic()
                self.store.stop(node)
                self.store.start(node)
                self.store.member(node)
                self.store.settle()
                load.check()
                took.append(time.monotonic() - began)
                self.store.show(f"{node.name} is restarted: {took[-1]:.1f} s, {self.book.writes} writes so far")
        finally:
            load.end()
        return (f"{len(took)} nodes are restarted under load, one by one, each in {min(took):.1f} to {max(took):.1f} s; "
                f"no writer waited longer than {load.longest:.2f} s, {sum(load.refused.values())} calls were repeated")

    def in_step(self) -> str:
        partitions, rows = self.store.in_step()
        return f"all copies of {partitions} partitions are equal, {rows} rows"

    def run(self) -> None:
        steps = [self.forms, self.writes, self.reads, self.grows, self.reads_each, self.loses(False), self.regains, self.reads_each,
                 self.loses(True), self.regains, self.reads_each, self.rolls, self.in_step, self.reads]
        began = time.monotonic()
        for step in steps:
            before = time.monotonic()
            text = step()
            now = time.monotonic()
            print(f"{now - began:6.1f} s {now - before:+6.1f}  {text}", flush=True)


class Shown:
    """Lines that say how far it is, each once."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, line: str) -> None:
        if line != self.last:
            print(f"{'':18}{line}", flush=True)
            self.last = line


def main() -> int:
    parser = argparse.ArgumentParser(description="Ten key-value servers, and what a cluster goes through.")
    parser.add_argument("--mode", choices=("sync", "async", "server-side"), default="sync")
    parser.add_argument("--store", choices=("memory", "sqlite"), default=os.environ.get("STORE", "memory"))
    parser.add_argument("--languages", default=os.environ.get("LANGUAGES", "rust"),
                        help=f"of {','.join(LANGUAGES)}, or all; nodes take turns")
    parser.add_argument("--profile", choices=("release", "debug"), default="release")
    parser.add_argument("--timing", choices=tuple(OUTAGE), default="lan")
    arguments = parser.parse_args()
    end_by_signals()
    book = Book(arguments.mode)
    try:
        servers = programs(arguments.languages, arguments.profile)
        print(f"{NODES} nodes: {', '.join(servers)}; mode {arguments.mode}, store {arguments.store}", flush=True)
        settings = Settings(arguments.mode, arguments.store, timing=arguments.timing)
        with cluster(servers, settings, Shown()) as store:
            Demo(store, book).run()
    except (Failed, OSError) as failure:
        print(f"FAILED {failure}\n{book.verdict()}")
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"ended by {interrupt or 'SIGINT'}")
        return 1
    print(book.verdict())
    return 0


if __name__ == "__main__":
    sys.exit(main())
