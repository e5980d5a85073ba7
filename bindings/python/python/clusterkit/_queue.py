"""Events that are read instead of told."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from . import _clusterkit
from ._events import Event


class _Queue:
    """What both forms of a queue have."""

    __slots__ = ("_lost", "_native", "_open", "_taken")

    def __init__(self, native: _clusterkit.EventQueue) -> None:
        self._native = native
        self._taken: deque[Event] = deque()
        self._lost = 0
        self._open = True

    @property
    def lost(self) -> int:
        """How many events were lost, because 1,024 waited: the oldest of them. Then a look at the view tells what is."""
        return self._lost

    def close(self) -> None:
        """Ends the subscription."""
        self._native.close()

    def _take(self) -> None:
        events, lost, self._open = self._native.take()
        self._taken.extend(events)
        self._lost += lost


class Events(_Queue):
    """The events of a node from the moment at which this was made, in order: `for event in ck.events(): ...`.

    Reading observes: it confirms no copy, and nothing waits for the reader. The loop ends when the node has stopped.
    """

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._taken:
            if not self._open:
                raise StopIteration
            self._native.wait().wait()
            self._take()
        return self._taken.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
