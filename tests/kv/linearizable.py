"""Is a history of one register linearizable, and what has a store lost that promises less?

Wing and Gong's search with Lowe's memory of what was tried, as in porcupine. Python is fast enough for it (20,000 calls on 50 keys
take about a second) because values are written once: a read says which write it saw, so only writes that were under way at the
same time are tried in more than one order.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from history import FAILED, OK, UNKNOWN, Call

# For one key. Histories of a minute take some thousands; without a bound one of them could take all memory.
MAX_STEPS = 2_000_000


@dataclasses.dataclass
class Violation:
    """Why no order of the calls explains what everybody was told."""

    what: str
    calls: list[Call]
    """Those of which none can be next, or that contradict each other."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A call, as the search sees it."""

    began: float
    ended: float
    writes: bool
    value: str | None
    call: Call


def check(history: Iterable[Call]) -> Violation | None:
    """Whether there is an order of the calls of one key that explains what everybody was told; the key does not exist at first."""
    history = list(history)
    if wrong := never_written(history):
        return wrong
    steps = relevant(history)
    # A delete of which nobody knows whether it happened is alike any other, so no read says which it saw: such are looked at only
    # where there is no other explanation.
    first = search([step for step in steps if step.ended < math.inf])
    if first is None or all(step.ended < math.inf for step in steps):
        return first
    return search(steps)


def never_written(history: list[Call]) -> Violation | None:
    """A read of a value that nobody has written, or whose write has surely failed."""
    written = {call.value: call for call in history if call.action == "set"}
    for call in sorted(history, key=lambda call: call.ended):
        if call.action != "get" or call.outcome != OK or call.value is None:
            continue
        source = written.get(call.value)
        if source is None:
            return Violation(f"a value was read that nobody has written: {call.value}", [call])
        if source.outcome == FAILED:
            return Violation(f"a value was read whose write has failed for sure: {call.value}", [source, call])
        if source.began > call.ended:
            return Violation(f"a value was read before it was written: {call.value}", [source, call])
    return None


def relevant(history: list[Call]) -> list[Step]:
    """The calls that happened or may have happened, with the time by which they did if so."""
    seen: dict[str | None, float] = {}
    for call in history:
        if call.action == "get" and call.outcome == OK:
            seen[call.value] = min(call.ended, seen.get(call.value, math.inf))
    steps = []
    for call in history:
        ended = call.ended
        if call.outcome == FAILED or (call.outcome == UNKNOWN and not call.writes):
            continue
        if call.outcome == UNKNOWN:
            # One whose value was read has happened before that read ended; one that nobody saw explains nothing.
            ended = seen.get(call.value, math.inf) if call.action == "set" else math.inf
            if call.action == "set" and ended == math.inf:
                continue
        steps.append(Step(call.began, ended, call.writes, call.value, call))
    return sorted(steps, key=lambda step: (step.began, step.ended))


def search(steps: list[Step]) -> Violation | None:
    """Depth first: which calls have happened (the first so many, and the ones whose bit is set), and the key's value."""
    needed = sum(step.ended < math.inf for step in steps)
    readers: dict[str, list[int]] = {}
    for at, step in enumerate(steps):
        if not step.writes and step.value is not None:
            readers.setdefault(step.value, []).append(at)
    tried: set[tuple[int, int, str | None]] = set()
    # The last number: how many calls have happened of those that must.
    untried: list[tuple[int, int, str | None, int]] = [(0, 0, None, 0)]
    furthest: tuple[int, int, int, str | None] = (-1, 0, 0, None)
    while untried and len(tried) <= MAX_STEPS:
        first, bits, value, done = untried.pop()
        if done == needed:
            return None
        if done > furthest[0]:
            furthest = (done, first, bits, value)
        ready = candidates(steps, first, bits)
        # A read of what is there now can always be next: no order is lost by taking it at once.
        reads = [at for at in ready if not steps[at].writes and steps[at].value == value]
        if reads:
            choices = reads[:1]
        else:
            # What was written once does not come back: everybody who was told of it has to have seen it.
            stays = value is not None and any(not happened(at, first, bits) for at in readers.get(value, ()))
            choices = [] if stays else writes(steps, ready)
        for at in reversed(choices):
            after = (*mark(at, first, bits), steps[at].value)
            if after not in tried:
                tried.add(after)
                untried.append((*after, done + (steps[at].ended < math.inf)))
    _, first, bits, value = furthest
    stuck = [steps[at].call for at in candidates(steps, first, bits)]
    # Who still sees what is there keeps writes from being next.
    left = [steps[at].call for at in readers.get(value or "", ()) if not happened(at, first, bits)]
    stuck += [call for call in left if call not in stuck]
    if untried:
        return Violation(f"after {MAX_STEPS} steps it is not known whether an order explains the history", stuck)
    there = "does not exist" if value is None else f"is {value}"
    return Violation(f"{furthest[0]} of {needed} calls are explained; then the key {there}, and none of these can be next", stuck)


def candidates(steps: list[Step], first: int, bits: int) -> list[int]:
    """What can be next: nothing that has not happened ended before it began."""
    found = []
    bound = math.inf
    for at in range(first, len(steps)):
        if steps[at].began > bound:
            break
        if not happened(at, first, bits):
            found.append(at)
            bound = min(bound, steps[at].ended)
    return [at for at in found if steps[at].began <= bound]


def writes(steps: list[Step], ready: list[int]) -> list[int]:
    """The writes among these. Of those that may never have happened, deletes all of them, the first is as good as any."""
    certain = [at for at in ready if steps[at].writes and steps[at].ended < math.inf]
    uncertain = [at for at in ready if steps[at].writes and steps[at].ended == math.inf]
    return certain + uncertain[:1]


def happened(at: int, first: int, bits: int) -> bool:
    return at < first or bool(bits >> (at - first) & 1)


def mark(at: int, first: int, bits: int) -> tuple[int, int]:
    bits |= 1 << (at - first)
    while bits & 1:
        bits >>= 1
        first += 1
    return first, bits


# ---- Asynchronous replication promises less. ----


@dataclasses.dataclass
class Troubles:
    """What was done to the servers, and when."""

    faults: list[float] = dataclasses.field(default_factory=list)
    """When a node was killed or stopped."""
    moves: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """From when to when roles may have moved between nodes, whatever the reason."""
    at_rest: float = math.inf
    """From when on nothing was done, and everything had to be where it belongs."""


@dataclasses.dataclass
class Losses:
    """What was lost of one key: acknowledged writes, and by how much each came before the fault that excuses it."""

    excused: list[tuple[Call, float]] = dataclasses.field(default_factory=list)
    violation: Violation | None = None


def losses(history: Iterable[Call], troubles: Troubles, window: float, slack: float = 1.0) -> Losses:
    """What a store has lost that acknowledges before it replicates, and whether it may have.

    A read tells of a loss where it saw a write that ended before another began, which in turn was acknowledged before the read
    began. That is allowed where a node was killed or stopped before the read ended, and at most `window` after the
    acknowledgement, which its client may have read up to `slack` after it was sent. Where a role moves, the new primary may
    show what is old until the former one has sent all; but nothing is missing in the end.
    """
    history = sorted(history, key=lambda call: call.ended)
    if wrong := never_written(history):
        return Losses(violation=wrong)
    sets = {call.value: call for call in history if call.action == "set"}
    deletes = [call for call in history if call.action == "delete" and call.outcome != FAILED]
    acknowledged = [call for call in history if call.writes and call.outcome == OK]
    found = Losses()
    told: set[int] = set()
    for read in history:
        if read.action != "get" or read.outcome != OK:
            continue
        if read.value is None:
            # The delete that explains most; a key does not exist at first.
            source_ended = max((call.ended for call in deletes if call.began < read.ended), default=-math.inf)
        else:
            source_ended = sets[read.value].ended
        for write in acknowledged:
            if write.ended >= read.began:
                break
            if write.began <= source_ended or id(write) in told:
                continue
            age = min((fault - write.ended for fault in troubles.faults if write.ended - slack <= fault <= read.ended),
                      default=math.inf)
            moved = any(began <= read.ended and write.began <= ended for began, ended in troubles.moves)
            if age <= window:
                told.add(id(write))
                found.excused.append((write, age))
            elif read.began >= troubles.at_rest or not moved:
                since = "no node was killed or stopped since" if age == math.inf else f"{age:.3f} s before a node was troubled"
                what = f"an acknowledged write is lost: {since}, and {window} s are allowed"
                return Losses(violation=Violation(what, [write, read]))
    return found
