"""What clients asked of a store, what they were told, and when; in memory, and as lines for people."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


@dataclasses.dataclass
class Call:
    """One call of one client about one key. Every value is written once in a history."""

    client: int
    action: str
    """`set`, `delete` or `get`."""
    key: str
    value: str | None
    """What was written, or read. None: there is no such key."""
    began: float
    ended: float = math.inf
    outcome: str = UNKNOWN
    """`ok`; `failed`: it has had no effect, and will have none; `unknown`: it may have happened, or may do so at any time."""
    node: str = ""
    note: str = ""

    @property
    def writes(self) -> bool:
        return self.action != "get"

    def line(self, start: float = 0.0) -> str:
        """For people, with times in seconds since `start`."""
        end = f"{self.ended - start:10.4f}" if self.ended < math.inf else f"{'':10}"
        said = self.action
        if self.action == "set":
            said = f"set {self.value}"
        elif not self.writes and self.outcome == OK:
            said = f"get -> {'nothing' if self.value is None else self.value}"
        tail = "" if self.outcome == OK else f"  {self.outcome.upper()} {self.note}"
        return f"{self.began - start:10.4f} {end}  client {self.client:<3} {self.node:8} {said}{tail}".rstrip()


def by_key(history: Iterable[Call]) -> dict[str, list[Call]]:
    """Each key is a register by itself: linearizability is local (Herlihy and Wing, theorem 1)."""
    found: dict[str, list[Call]] = {}
    for call in history:
        found.setdefault(call.key, []).append(call)
    return found


def lines(calls: Iterable[Call], start: float = 0.0, marked: Iterable[Call] = ()) -> str:
    """One line for each call, by the time of its beginning; `>` stands before the marked ones."""
    marks = {id(call) for call in marked}
    ordered = sorted(calls, key=lambda call: (call.began, call.ended))
    return "\n".join(f"{'>' if id(call) in marks else ' '} {call.line(start)}" for call in ordered)
