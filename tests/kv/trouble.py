"""Real servers under random trouble from a seed, while clients keep a history; and what is wrong with it."""

from __future__ import annotations

import collections
import dataclasses
import random
import signal
import threading
import time

import linearizable
from clients import Clients, call
from history import OK, UNKNOWN, Call, by_key, lines
from servers import Caller, Cluster, Failed, Map, Node, Program, Settings, cluster, until

NODES = 5
MAX_NODES = 7
KEYS = [f"key-{number}" for number in range(48)]
CLIENTS = 10
# The mean of a client's pause between two calls is half of it.
CLIENT_PAUSE = 0.02
# How old a client's knowledge of the cluster may be.
MAP_AGE = 0.5
# How old a write may be that async mode loses, where the servers do not say that their replicas are further behind.
ASYNC_WINDOW = 1.0


@dataclasses.dataclass
class Report:
    """What was seen."""

    calls: int
    unknown: int
    faults: collections.Counter[str]
    excused: int = 0
    """How many acknowledged writes were lost that may be lost, in async mode."""
    oldest: float = 0.0
    """By how much the oldest of those came before its fault."""


class Trouble:
    """A cluster, its clients, and what is done to it."""

    def __init__(self, store: Cluster, seed: int) -> None:
        self.store = store
        self.dice = random.Random(seed)
        self.seed = seed
        self.began = time.monotonic()
        self.known: Map | None = None
        self.ended = threading.Event()
        self.troubles = linearizable.Troubles()
        self.window = ASYNC_WINDOW
        self.done: collections.Counter[str] = collections.Counter()

    def say(self, text: str) -> None:
        print(f"        {time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    # ---- Where clients send their calls. ----

    def follow(self) -> None:
        """Keeps what clients know of the cluster, a little old."""
        caller, dice = Caller(1.0), random.Random(self.seed)
        while not self.ended.wait(MAP_AGE * dice.random()):
            if answer := caller.get(dice.choice(self.store.running()).http, "/cluster"):
                self.known = Map(answer)

    def choose(self, dice: random.Random, key: str) -> tuple[str, str]:
        """The node that was primary of the key a little ago, or any, which may be down."""
        node = None
        if self.known and dice.random() < 0.6:
            node = self.store.nodes.get(self.known.partition(key)["primary_node"])
        node = node or dice.choice([node for node in list(self.store.nodes.values()) if not node.left])
        return node.name, node.kv

    # ---- What is done. ----

    def kill(self, node: Node) -> None:
        self.measure(node)
        self.troubles.faults.append(self.store.kill(node))
        # Shorter than a lease, and longer than it takes others to take over.
        self.pause(4.0)
        self.back(node)

    def stop(self, node: Node) -> None:
        """It does not run for a while, and goes on as if nothing had been."""
        self.measure(node)
        self.troubles.faults.append(time.monotonic())
        self.store.signal(node, signal.SIGSTOP)
        self.pause(4.5)
        self.store.signal(node, signal.SIGCONT)

    def stop_two(self, node: Node) -> None:
        """Two do not run, each for a while of its own: nothing has died, so nothing may be lost."""
        other = self.dice.choice([other for other in self.store.running() if other is not node])
        for each in (node, other):
            self.measure(each)
            self.troubles.faults.append(time.monotonic())
            self.store.signal(each, signal.SIGSTOP)
        for each in (node, other):
            self.pause(3.0)
            self.store.signal(each, signal.SIGCONT)

    def join_and_kill(self, node: Node) -> None:
        """A node dies while partitions move to a new one."""
        self.join(node)
        self.pause(1.0)
        self.kill(node)

    def leave_and_kill(self, node: Node) -> None:
        """A node dies while partitions move away from one that goes."""
        leaver = self.store.running()[-1]
        killed = self.dice.choice([other for other in self.store.running() if other is not leaver])
        asking = threading.Thread(target=lambda: Caller(60).call(leaver.http, "POST", "/leave?timeout=1s"), daemon=True)
        asking.start()
        self.pause(1.5)
        self.kill(killed)
        asking.join()
        self.leave(node)

    def restart(self, node: Node) -> None:
        self.store.stop(node)
        self.back(node)

    def join(self, _: Node) -> None:
        self.back(self.store.add())

    def leave(self, _: Node) -> None:
        """The newest node goes for good."""
        node = self.store.running()[-1]
        caller = Caller(60)
        def asked() -> bool:
            return caller.call(node.http, "POST", "/leave?timeout=30s").done or is_gone()
        def is_gone() -> bool:
            answer = caller.get(self.store.running()[0].http, "/cluster")
            return bool(answer) and node.name not in Map(answer).nodes
        until(f"{node.name} leaves", asked)
        until(f"{node.name} has left", is_gone)
        node.left = True
        self.store.stop(node)

    def step_down(self, _: Node) -> None:
        leader = self.store.map().leader
        if leader:
            self.store.caller.call(self.store.nodes[leader].http, "POST", "/step-down")

    def measure(self, node: Node) -> None:
        """What async mode may lose with a node is what its replicas are behind it."""
        self.window = max(self.window, ASYNC_WINDOW + self.store.behind(node))

    def pause(self, longest: float) -> None:
        self.ended.wait(self.dice.uniform(0.1, longest))

    def back(self, node: Node) -> None:
        self.store.start(node)
        self.store.member(node)

    def next(self) -> None:
        """One fault, and mostly rest after it."""
        faults = {self.kill: 5, self.stop: 3, self.stop_two: 2, self.restart: 2, self.step_down: 1}
        if len(self.store.running()) < MAX_NODES:
            faults.update({self.join: 1, self.join_and_kill: 2})
        if len(self.store.running()) > NODES:
            faults.update({self.leave: 1, self.leave_and_kill: 2})
        fault = self.dice.choices(list(faults), list(faults.values()))[0]
        node = self.dice.choice(self.store.running())
        self.done[fault.__name__] += 1
        began = time.monotonic()
        fault(node)
        # Nothing is promised for two nodes that die within one repair, and what is in memory is gone with its process.
        self.store.settle()
        # Others may hear a little later that all is at rest.
        self.troubles.moves.append((began, time.monotonic() + 1.0))
        self.say(f"{fault.__name__.replace('_', ' ')} ({node.name}): at rest after {time.monotonic() - began:.1f} s")


def trouble(servers: dict[str, Program], settings: Settings, seed: int, seconds: float) -> Report:
    """So many seconds of trouble. What is wrong is raised, and the whole history is with the logs of the servers then."""
    with cluster(servers, settings) as store:
        for node in [store.add() for _ in range(NODES)]:
            store.start(node)
        for node in store.running():
            store.member(node)
        store.settle()
        made = Trouble(store, seed)
        follower = threading.Thread(target=made.follow, daemon=True)
        follower.start()
        clients = Clients(made.choose, KEYS, CLIENTS, seed, CLIENT_PAUSE)
        failure: Failed | None = None
        try:
            while time.monotonic() < made.began + seconds:
                made.next()
        except Failed as failed:
            failure = failed
        history = clients.end()
        if failure is None:
            try:
                made.troubles.at_rest = time.monotonic()
                history += final_reads(store)
                partitions, rows = store.in_step()
                made.say(f"all copies of {partitions} partitions are equal, {rows} rows")
            except Failed as failed:
                failure = failed
        made.ended.set()
        follower.join()
        report = Report(len(history), sum(call.outcome == UNKNOWN for call in history), made.done)
        try:
            judge(settings, history, made, report)
        except Failed:
            (store.folder / "history.txt").write_text(lines(history, made.began) + "\n")
            raise
        if failure:
            (store.folder / "history.txt").write_text(lines(history, made.began) + "\n")
            raise failure
        return report


def final_reads(store: Cluster) -> list[Call]:
    """Every key through every node, once all is at rest: each read has to be answered."""
    caller, found = Caller(), []
    for key in KEYS:
        for node in store.running():
            made = call(caller, -1, "get", key, "", node.name, node.kv)
            if made.outcome != OK:
                raise Failed(f"{key} cannot be read through {node.name}, though all is at rest: {made.note}")
            found.append(made)
    return found


def judge(settings: Settings, history: list[Call], made: Trouble, report: Report) -> None:
    start = min(call.began for call in history)
    wrong: list[tuple[str, list[Call], linearizable.Violation]] = []
    for key, calls in by_key(history).items():
        if settings.mode == "async":
            lost = linearizable.losses(calls, made.troubles, made.window)
            report.excused += len(lost.excused)
            report.oldest = max([report.oldest, *(age for _, age in lost.excused)])
            found = lost.violation
        else:
            found = linearizable.check(calls)
        if found:
            wrong.append((key, calls, found))
    if wrong:
        key, calls, violation = min(wrong, key=lambda each: max(call.began for call in each[2].calls))
        raise Failed(f"{len(wrong)} of {len(KEYS)} keys are wrong; the first is {key}: {violation.what}\n"
                     + excerpt(calls, violation, start, made.troubles.faults))


def excerpt(calls: list[Call], violation: linearizable.Violation, start: float, moments: list[float]) -> str:
    """The calls around a violation, for people; `>` marks those that cannot be explained."""
    first, last = min(call.began for call in violation.calls), max(call.began for call in violation.calls)
    ordered = sorted(calls, key=lambda call: call.began)
    near = [at for at, call in enumerate(ordered) if first - 0.001 <= call.began <= last + 0.001]
    shown = ordered[max(0, near[0] - 15):near[-1] + 6]
    # An unknown write of long before may matter as well.
    values = {call.value for call in shown}
    shown += [call for call in ordered if call.action == "set" and call.value in values and call not in shown]
    faults = ", ".join(f"{moment - start:.3f}" for moment in moments)
    return f"(seconds; nodes were killed or stopped at {faults})\n{lines(shown, start, violation.calls)}"
